"""What export and calibration both measure with: labelled data sets, masks and the metrics of the field."""
