"""The rest of a file: how it evaluates, where its data lies, how it is exported. Nothing of it is part of an experiment
here; what a flag of ours would say is told as that flag.
"""

from __future__ import annotations

from detector.pipeline_config.fields import Fields

DATA = "--data and --eval name datasets that `wordtree convert` wrote"
SPEED = "how images are read ahead is not set here"
MASKS = "no masks are read here"
READER = {
    **dict.fromkeys(("label_map_path", "tf_record_input_reader", "external_input_reader", "name", "input_type"), DATA),
    "shuffle": "the order is drawn anew for every pass, by train.seed",
    "shuffle_buffer_size": SPEED,
    "filenames_shuffle_buffer_size": SPEED,
    "queue_capacity": SPEED,
    "min_after_dequeue": SPEED,
    "num_epochs": "train.steps says how long",
    "num_readers": SPEED,
    "num_parallel_batches": SPEED,
    "num_prefetch_batches": SPEED,
    "read_block_length": SPEED,
    "prefetch_size": SPEED,
    "num_parallel_map_calls": SPEED,
    "sample_1_of_n_examples": "every image counts here",
    "max_number_of_boxes": "see data.max_boxes",
    **dict.fromkeys(("load_instance_masks", "mask_type", "load_dense_pose", "load_keypoint_depth_features"), MASKS),
    **dict.fromkeys(("num_keypoints", "keypoint_type_weight"), "no points are read here"),
    **dict.fromkeys(("num_additional_channels", "load_multiclass_scores", "load_context_features"), "not read here"),
    **dict.fromkeys(("load_track_id", "include_source_id", "frame_index"), "not read here"),
    "use_display_name": "classes have the names of the tree",
    "expand_labels_hierarchy": "the tree stands above every label",
}
METRICS = {
    "coco_detection_metrics": "coco",
    "pascal_voc_detection_metrics": "voc10",
    "weighted_pascal_voc_detection_metrics": "voc10",
    "oid_V2_detection_metrics": "openimages",
    "open_images_V2_detection_metrics": "openimages",
    "oid_challenge_detection_metrics": "openimages",
}
PICTURES = "see `wordtree detect` and its pictures"
EVALUATION = {
    "num_examples": "all images of the datasets are evaluated",
    "max_evals": "train.evaluate_every says how often",
    "eval_interval_secs": "train.evaluate_every says how often",
    "use_moving_averages": "the averages are what is evaluated wherever train.ema has them",
    "num_visualizations": PICTURES,
    "visualization_export_dir": PICTURES,
    "max_num_boxes_to_visualize": PICTURES,
    "min_score_threshold": PICTURES,
    "visualize_groundtruth_boxes": "see `wordtree inspect`",
    "groundtruth_box_visualization_color": "see `wordtree inspect`",
    "skip_scores": PICTURES,
    "skip_labels": PICTURES,
    "keep_image_id_for_visualization_export": PICTURES,
    "export_path": "wordtree detect --format coco",
    "ignore_groundtruth": "wordtree detect --format coco",
    "include_metrics_per_category": "wordtree evaluate --csv",
    "all_metrics_per_category": "wordtree evaluate --csv",
    "recall_lower_bound": "precision is averaged over all recalls",
    "recall_upper_bound": "precision is averaged over all recalls",
    "eval_instance_masks": "no masks are predicted here",
    **dict.fromkeys(("save_graph", "eval_master", "retain_original_images", "force_no_resize"), "not here"),
    **dict.fromkeys(
        ("retain_original_image_additional_channels", "parameterized_metric", "super_categories"), "not here"
    ),
    "skip_predictions_for_unlabeled_class": "see data sets with verified labels",
}
REWRITER = "no quantised training here; see `wordtree export`"


def read_evaluation(file: Fields) -> None:
    """Write down what of the rest is known.

    Raises:
        FormatError: if a value is none of its field.
    """
    evaluation = file.message("eval_config")
    metrics = [METRICS[name] for name in evaluation.texts("metrics_set") if name in METRICS]
    told = (
        f"wordtree evaluate --metrics {','.join(dict.fromkeys(metrics))}" if metrics else "not among the metrics here"
    )
    evaluation.leave("metrics_set", told)
    if "batch_size" in evaluation:
        evaluation.leave("batch_size", f"wordtree evaluate --batch-size {evaluation.integer('batch_size', 1)}")
    evaluation.leave_all(EVALUATION)
    for name in ("train_input_reader", "eval_input_reader"):
        for reader in file.messages(name):
            reader.leave_all(READER)
    rewriter = file.message("graph_rewriter")
    rewriter.leave_all({"quantization": REWRITER, "sparsity": REWRITER})
