"""What the resize costs a model that was trained on Pillow's pictures: frame ROC-AUC in torch and through edge-ad."""
