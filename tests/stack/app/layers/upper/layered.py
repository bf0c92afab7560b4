WHERE = "upper"
