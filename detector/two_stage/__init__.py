"""Parts of detectors with anchors and proposals; `detector.architectures.faster_rcnn` composes them.

Others (SSD, R-FCN, RetinaNet) can use each of them alone.

config.py        what Faster R-CNN reads beside the sections that all share
anchor_shapes.py shapes of anchors from scales and ratios
grid_anchors.py  boxes of given shapes at every cell
box_coder.py     a box relative to another, as four numbers to learn, and back
matching.py      which anchor or proposal answers for which truth
sampling.py      a random and balanced few of them, the same for the same image and seed
proposals.py     likely boxes of the first stage, without their doubles
crop.py          the features inside a box, bilinear, at a fixed size
dilation.py      a network at a smaller stride than it was published for
normalisation.py batch normalisation in one pass
backbone.py      a network cut in two: before and after the proposals
stage.py         a network as one layer of another
heads.py         proposals from features, vectors from crops
rois.py          what the second stage is trained on, and its answer as slots
multi_label.py   classes that do not exclude each other
losses.py        smooth L1 and cross-entropies over the sampled few

Shape shorthand: B images, H x W cells, A shapes of anchors, S = H W A anchors, M truths, P proposals, R RoIs (regions
of interest: proposals that are looked at), F features, N nodes.
"""
