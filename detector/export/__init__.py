"""A run as something that other programs load: SavedModel, TFLite, Keras.

OUT/export.json        written last: what the files were made of, their sizes, what the check measured
OUT/tree/              the tree's files, whose digest export.json holds
OUT/saved_model/       decoding and suppression inside, from encoded images to names; needs nothing but TensorFlow
OUT/model*.tflite      the network alone; `detector.export.lite` decodes what it gives
OUT/model.keras        the network alone, for Keras
"""
