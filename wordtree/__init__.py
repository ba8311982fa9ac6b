"""The hierarchy of visual concepts: WordNet, the WordTree built from it, and data set labels mapped onto it.

NumPy alone (and NLTK in one reader, on request): no Beam, no TensorFlow.
"""
