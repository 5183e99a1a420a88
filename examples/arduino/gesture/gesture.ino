// A pruned net on an Arduino: reads a row from an analogue pin, and prints its class.
//
//   minnet prune gestures.csv --sparsity 0.9 --out run
//   minnet export run/model.safetensors --to c --name gesture --arithmetic int8 --data gestures.csv --out gesture
//
// Put gesture.c and gesture.h beside this file. Where they are exported without --arithmetic int8, the input is the row
// itself, and work an array of floats.
#include "gesture.h"

static float row[GESTURE_INPUTS];
static int8_t input[GESTURE_INPUTS];
static int32_t work[GESTURE_WORK];

void setup() {
  Serial.begin(115200);
}

void loop() {
  for (int i = 0; i < GESTURE_INPUTS; i++) {  // raw values, as in the table that the net was trained on
    row[i] = analogRead(A0);
    delay(10);
  }
  gesture_quantise(row, input);
  Serial.println(gesture_classes[gesture_class(input, work)]);
}
