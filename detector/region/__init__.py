"""YOLOv2's region layer: the head, what each cell and prior predicts, who answers for which truth, and the loss."""
