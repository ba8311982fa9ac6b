"""YOLOv2's region layer: what each cell and prior predicts, and the loss of a boxed image.

Per cell and prior the network gives x, y, w, h, objectness and class logits (thesis section 2.2):

    b_x = (i + sigmoid(t_x)) / W     b_w = p_w exp(t_w)     P(object) = sigmoid(t_o)
    b_y = (j + sigmoid(t_y)) / H     b_h = p_h exp(t_h)

The loss is written so that its gradient with respect to the logits is darknet's `-delta`, to 1e-5: squared errors of
the activations times 1/2, and a cross-entropy for each sibling group on the path of a label. What darknet treats as a
constant target (the IoU, who is assigned where) is behind a stop_gradient. A flat class list is a tree with one group.

Shape shorthand: B images, H x W cells, A priors, S = H W A slots in the order ((j W + i) A + a), M truths, N nodes,
D depth of the tree.
"""

# pyright: reportArgumentType=false, reportOperatorIssue=false, reportOptionalOperand=false
# (TensorFlow's own annotations know neither slices with an ellipsis nor operators of tensors.)

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from detector import box_ops
from detector.api import Batch
from detector.backbones.darknet19 import channels, conv_block, darknet19, output_stride
from detector.config import LossConfig, ModelConfig
from detector.tree_softmax import TreeTables, group_log_softmax
from schemas.errors import ConfigError


class Predictions(NamedTuple):
    """The network's output, slot by slot.

    Attributes:
        offsets: f32[B, S, 2] sigmoid(t_x), sigmoid(t_y): the centre inside its cell.
        sizes: f32[B, S, 2] t_w, t_h.
        object_logits: f32[B, S].
        class_logits: f32[B, S, N].
        boxes: f32[B, S, 4] `rel_yxyx`.
    """

    offsets: tf.Tensor
    sizes: tf.Tensor
    object_logits: tf.Tensor
    class_logits: tf.Tensor
    boxes: tf.Tensor


def build_network(config: ModelConfig, num_nodes: int) -> keras.Model:
    """Images f32[B, S, S, 3] to raw outputs f32[B, H, W, A (5 + N)], prior after prior."""
    if config.input_size % output_stride(config):
        raise ConfigError(
            f"model.input_size is {config.input_size}; expected a multiple of the output stride {output_stride(config)}"
        )
    if not config.anchors:
        raise ConfigError("model.anchors is empty; run `wordtree anchors DATASET` or let `wordtree train` do it")
    images = keras.Input((config.input_size, config.input_size, 3), name="images")
    x = darknet19(images, config)
    for number in range(1, config.head_convs + 1):
        filters = channels(config.head_width, config.width)
        x = conv_block(x, filters, 3, name=f"head_{number}", config=config)
    if config.dropout:
        x = keras.layers.SpatialDropout2D(config.dropout, dtype="float32", name="dropout")(x)
    filters = len(config.anchors) * (5 + num_nodes)
    raw = keras.layers.Conv2D(filters, 1, kernel_initializer="he_normal", dtype="float32", name="region")(x)
    return keras.Model(images, raw, name="yolov2")


def decode(raw: tf.Tensor, anchors: tf.Tensor) -> Predictions:
    """Raw outputs f32[B, H, W, A (5 + N)] to predictions.

    Args:
        raw: as the network gives them.
        anchors: f32[A, 2] prior width and height relative to the image.
    """
    height, width = tf.shape(raw)[1], tf.shape(raw)[2]
    priors = anchors.shape[0]
    raw = tf.reshape(raw, [tf.shape(raw)[0], height, width, priors, raw.shape[-1] // priors])
    offsets = tf.sigmoid(raw[..., 0:2])
    sizes = raw[..., 2:4]
    cells = tf.stack(tf.meshgrid(tf.range(width), tf.range(height)), axis=-1)  # [H, W, 2] as (i, j)
    grid = tf.cast(tf.stack([width, height]), tf.float32)
    centers = (offsets + tf.cast(cells, tf.float32)[None, :, :, None, :]) / grid
    shapes = anchors * tf.exp(tf.minimum(sizes, 20.0))  # a limit far outside of any box keeps exp finite
    boxes = box_ops.center_xywh_to_yxyx(tf.concat([centers, shapes], axis=-1))
    flat = [tf.shape(raw)[0], height * width * priors]
    return Predictions(
        offsets=tf.reshape(offsets, [*flat, 2]),
        sizes=tf.reshape(sizes, [*flat, 2]),
        object_logits=tf.reshape(raw[..., 4], flat),
        class_logits=tf.reshape(raw[..., 5:], [*flat, raw.shape[-1] - 5]),
        boxes=tf.reshape(boxes, [*flat, 4]),
    )


class Assignment(NamedTuple):
    """Which slot answers for which truth.

    Attributes:
        slot: i32[B, M]; 0 where the truth is not there.
        owner: bool[B, M] the truth is there and no later one took its slot (darknet: the last writer wins).
        class_target: bool[B, M, D] the sibling group at this depth of the truth's path is supervised by this truth:
            a later truth in the same slot overwrites only the groups that it touches.
        taken: bool[B, S] slots that answer for a truth.
    """

    slot: tf.Tensor
    owner: tf.Tensor
    class_target: tf.Tensor
    taken: tf.Tensor


def assign(
    predictions: Predictions,
    boxes: tf.Tensor,
    nodes: tf.Tensor,
    mask: tf.Tensor,
    *,
    anchors: tf.Tensor,
    grid: tuple[int, int],
    tables: TreeTables,
    bias_match: bool,
) -> Assignment:
    """The cell that holds the truth's centre, and the prior whose shape fits best.

    Args:
        predictions: of the batch.
        boxes: f32[B, M, 4] `rel_yxyx`.
        nodes: i32[B, M], valid where mask is.
        mask: bool[B, M].
        anchors: f32[A, 2].
        grid: (H, W).
        tables: of the tree.
        bias_match: compare the truth's shape with the prior's instead of with the prediction's.
    """
    height, width = grid
    truth = box_ops.yxyx_to_center_xywh(boxes)
    i = tf.clip_by_value(tf.cast(truth[..., 0] * width, tf.int32), 0, width - 1)
    j = tf.clip_by_value(tf.cast(truth[..., 1] * height, tf.int32), 0, height - 1)
    priors = int(anchors.shape[0])
    first_slot = (j * width + i) * priors
    shapes = tf.broadcast_to(anchors, [*tf.unstack(tf.shape(boxes)[:2]), priors, 2])
    if not bias_match:
        slots = first_slot[..., None] + tf.range(priors)
        sizes = tf.gather(predictions.sizes, slots, batch_dims=1)
        shapes = tf.stop_gradient(anchors * tf.exp(tf.minimum(sizes, 20.0)))
    inter = tf.reduce_prod(tf.minimum(shapes, truth[..., None, 2:]), axis=-1)
    union = tf.reduce_prod(shapes, axis=-1) + tf.reduce_prod(truth[..., 2:], axis=-1)[..., None] - inter
    prior = tf.argmax(tf.math.divide_no_nan(inter, union), axis=-1, output_type=tf.int32)
    slot = tf.where(mask, first_slot + prior, 0)

    count = tf.shape(boxes)[1]
    later = tf.range(count)[None, :, None] < tf.range(count)[None, None, :]  # [1, M, M]: second comes after first
    same_slot = (slot[:, :, None] == slot[:, None, :]) & mask[:, None, :] & later
    owner = mask & ~tf.reduce_any(same_slot, axis=2)
    groups = tf.gather(tables.path_group, nodes)  # [B, M, D]
    same_group = (groups[:, :, None, :] == groups[:, None, :, :]) & same_slot[..., None]
    class_target = (groups >= 0) & mask[..., None] & ~tf.reduce_any(same_group, axis=2)

    slots = tf.shape(predictions.object_logits)[1]
    taken = tf.reduce_any(tf.one_hot(tf.where(owner, slot, -1), slots, on_value=True, off_value=False), axis=1)
    return Assignment(slot=slot, owner=owner, class_target=class_target, taken=taken)


def path_cross_entropy(
    log_probs: tf.Tensor, nodes: tf.Tensor, target: tf.Tensor, tables: TreeTables, smoothing: float = 0.0
) -> tf.Tensor:
    """Sum of the cross-entropies of the supervised sibling groups on each label's path.

    Groups below the label and off its path have no target: a "dog" box says nothing of breeds.

    Args:
        log_probs: f32[..., N] conditional.
        nodes: i32[...].
        target: bool[..., D] which levels of the path count.
        tables: of the tree.
        smoothing: share of each group's target that is spread evenly over the group.

    Returns:
        f32[...] in nats.
    """
    path = tf.gather(tables.path, nodes)
    picked = tf.gather(log_probs, path, batch_dims=len(nodes.shape))
    if smoothing:
        shape = tf.shape(log_probs)
        columns = tf.transpose(tf.reshape(log_probs, [-1, tables.num_nodes]))
        sums = tf.transpose(tf.math.segment_sum(columns, tables.group))
        means = tf.reshape(sums / tf.cast(tables.group_size, sums.dtype), [*tf.unstack(shape[:-1]), tables.num_groups])
        groups = tf.maximum(tf.gather(tables.path_group, nodes), 0)
        spread = tf.gather(means, groups, batch_dims=len(nodes.shape))
        picked = (1 - smoothing) * picked + smoothing * spread
    return -tf.reduce_sum(tf.where(target, picked, 0.0), axis=-1)


def detection_losses(
    predictions: Predictions,
    batch: Batch,
    *,
    config: LossConfig,
    anchors: tf.Tensor,
    grid: tuple[int, int],
    tables: TreeTables,
    images_seen: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Named terms of the loss of boxed images, each f32[B], 0 where an image has no boxes to learn from.

    Args:
        predictions: of the batch.
        batch: boxes, nodes, masks; rows with node -1 are regions to ignore.
        config: scales and switches.
        anchors: f32[A, 2] relative to the image.
        grid: (H, W).
        tables: of the tree.
        images_seen: images before and in this batch (darknet's `seen`), for the pull to the priors.

    Returns:
        object, no_object, coordinates, class, prior.
    """
    boxed = batch.has_boxes
    truth_mask = batch.box_mask & (batch.nodes >= 0) & boxed[:, None]
    near_mask = batch.box_mask & boxed[:, None]
    nodes = tf.maximum(batch.nodes, 0)
    assignment = assign(
        predictions,
        batch.boxes,
        nodes,
        truth_mask,
        anchors=anchors,
        grid=grid,
        tables=tables,
        bias_match=config.bias_match,
    )
    objectness = tf.sigmoid(predictions.object_logits)

    overlap = box_ops.pairwise_iou(tf.stop_gradient(predictions.boxes), batch.boxes)  # [B, S, M]
    best = tf.reduce_max(tf.where(near_mask[:, None, :], overlap, 0.0), axis=2)
    empty = boxed[:, None] & ~assignment.taken & (best <= config.ignore_iou)
    no_object = 0.5 * config.noobject_scale * tf.reduce_sum(tf.where(empty, objectness**2, 0.0), axis=1)

    slot, owner = assignment.slot, assignment.owner

    def at_slot(values: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, slot, batch_dims=1)

    owner_f = tf.cast(owner, tf.float32)
    slot_boxes = tf.stop_gradient(at_slot(predictions.boxes))
    target = box_ops.iou(slot_boxes, batch.boxes) if config.rescore else tf.ones_like(owner_f)
    object_error = (target - at_slot(objectness)) ** 2
    object_loss = 0.5 * config.object_scale * tf.reduce_sum(owner_f * object_error, axis=1)

    truth = box_ops.yxyx_to_center_xywh(batch.boxes)
    cells = tf.constant([grid[1], grid[0]], tf.float32)
    scaled = truth[..., :2] * cells
    cell = tf.clip_by_value(tf.floor(scaled), 0.0, cells - 1)
    prior_shape = tf.gather(anchors, slot % int(anchors.shape[0]))
    safe_shape = tf.where(owner[..., None], truth[..., 2:], prior_shape)
    shape_target = tf.math.log(tf.maximum(safe_shape, 1e-9) / prior_shape)
    coordinate_error = tf.reduce_sum((scaled - cell - at_slot(predictions.offsets)) ** 2, axis=-1)
    coordinate_error += tf.reduce_sum((shape_target - at_slot(predictions.sizes)) ** 2, axis=-1)
    weight = owner_f * config.coord_scale
    if config.small_box_weight:
        weight *= 2 - tf.reduce_prod(truth[..., 2:], axis=-1)
    coordinates = 0.5 * tf.reduce_sum(weight * coordinate_error, axis=1)

    log_probs = group_log_softmax(at_slot(predictions.class_logits), tables)
    entropy = path_cross_entropy(log_probs, nodes, assignment.class_target, tables, config.label_smoothing)
    class_loss = config.class_scale * tf.reduce_sum(entropy, axis=1)

    pull = tf.reduce_sum((0.5 - predictions.offsets) ** 2 + predictions.sizes**2, axis=-1)
    free = boxed[:, None] & ~assignment.taken
    prior = 0.5 * config.prior_scale * tf.reduce_sum(tf.where(free, pull, 0.0), axis=1)
    prior *= tf.cast(images_seen < config.prior_images, tf.float32)
    return {
        "object": object_loss,
        "no_object": no_object,
        "coordinates": coordinates,
        "class": class_loss,
        "prior": prior,
    }


def anchors_tensor(config: ModelConfig) -> tf.Tensor:
    """f32[A, 2] prior width and height relative to the image."""
    return tf.constant(np.asarray(config.anchors, np.float32).reshape(-1, 2))
