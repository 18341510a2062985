"""Labels of an SAE's features: what a feature's strongest clips have that others have not, and whether that holds on
clips that nothing was chosen by."""
