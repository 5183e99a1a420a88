/* A pruned net on Zephyr: checks it with the test vectors, then prints the class of each of them.
 *
 *   minnet prune gestures.csv --sparsity 0.9 --out run
 *   minnet export run/model.safetensors --to c --name gesture --arithmetic int8 --data gestures.csv --vectors 5 \
 *       --out examples/zephyr/src
 *
 * gesture_main.c, which is written too, is a program of its own and no part of this one.
 */
#include <zephyr/kernel.h>
#include <zephyr/sys/printk.h>

#include "gesture.h"
#include "gesture_vectors.h"

static int32_t output[GESTURE_OUTPUTS];
static int32_t work[GESTURE_WORK];

static int missed(const int8_t *input, const int32_t *wanted)
{
    int i;
    gesture_predict(input, output, work);
    for (i = 0; i < GESTURE_OUTPUTS; i++)
        if (output[i] != wanted[i])
            return 1;
    return 0;
}

int main(void)
{
    int i;
    for (i = 0; i < GESTURE_VECTORS; i++) {
        const int8_t *input = gesture_vector_inputs[i];
        const uint32_t begin = k_cycle_get_32();
        const int place = gesture_class(input, work);
        const uint32_t cycles = k_cycle_get_32() - begin;
        printk("%s %s in %u cycles\n", missed(input, gesture_vector_outputs[i]) ? "WRONG" : "right",
               gesture_classes[place], (unsigned)cycles);
    }
    return 0;
}
