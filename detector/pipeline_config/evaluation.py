"""The rest of a file: how it evaluates, where its data lies, how it is exported. Nothing of it is part of an experiment
here; what a flag of ours would say is told as that flag.
"""

from __future__ import annotations

from detector.pipeline_config.fields import Fields

READER = {
    "--data and --eval name datasets that `wordtree convert` wrote": (
        "label_map_path tf_record_input_reader external_input_reader name input_type"
    ),
    "the order is drawn anew for every pass, by train.seed": "shuffle",
    "how images are read ahead is not set here": (
        "shuffle_buffer_size filenames_shuffle_buffer_size queue_capacity min_after_dequeue num_readers "
        "num_parallel_batches num_prefetch_batches read_block_length prefetch_size num_parallel_map_calls"
    ),
    "train.steps says how long": "num_epochs",
    "every image counts here": "sample_1_of_n_examples",
    "see data.max_boxes": "max_number_of_boxes",
    "no masks are read here": "load_instance_masks mask_type load_dense_pose load_keypoint_depth_features",
    "no points are read here": "num_keypoints keypoint_type_weight",
    "not read here": (
        "num_additional_channels load_multiclass_scores load_context_features load_track_id include_source_id "
        "frame_index"
    ),
    "classes have the names of the tree": "use_display_name",
    "the tree stands above every label": "expand_labels_hierarchy",
}
METRICS = {
    "coco_detection_metrics": "coco",
    "pascal_voc_detection_metrics": "voc10",
    "weighted_pascal_voc_detection_metrics": "voc10",
    "oid_V2_detection_metrics": "openimages",
    "open_images_V2_detection_metrics": "openimages",
    "oid_challenge_detection_metrics": "openimages",
}
EVALUATION = {
    "all images of the datasets are evaluated": "num_examples",
    "train.evaluate_every says how often": "max_evals eval_interval_secs",
    "the averages are what is evaluated wherever train.ema has them": "use_moving_averages",
    "see `wordtree detect` and its pictures": (
        "num_visualizations visualization_export_dir max_num_boxes_to_visualize min_score_threshold skip_scores "
        "skip_labels keep_image_id_for_visualization_export"
    ),
    "see `wordtree inspect`": "visualize_groundtruth_boxes groundtruth_box_visualization_color",
    "wordtree detect --format coco": "export_path ignore_groundtruth",
    "wordtree evaluate --csv": "include_metrics_per_category all_metrics_per_category",
    "precision is averaged over all recalls": "recall_lower_bound recall_upper_bound",
    "no masks are predicted here": "eval_instance_masks",
    "not here": (
        "save_graph eval_master retain_original_images force_no_resize retain_original_image_additional_channels "
        "parameterized_metric super_categories"
    ),
    "see data sets with verified labels": "skip_predictions_for_unlabeled_class",
}


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
    rewriter.leave_all({"no quantised training here; see `wordtree export`": "quantization sparsity"})
