"""The TensorFlow Object Detection API's `pipeline.config` as an experiment: `detector.pipeline_config.reading`."""
