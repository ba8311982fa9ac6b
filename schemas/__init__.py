"""What things are: the records and file formats that wordtree, pipelines and detector share.

NumPy, pyarrow and protobuf only: no Beam, no TensorFlow. Import from the modules:
`boxes`, `record`, `tfexample`, `tfrecord`, `arrow`, `label_map`, `manifest`, `mixture`, `errors`.
"""
