"""Files: models and runs as safetensors (storage), later other people's formats."""
