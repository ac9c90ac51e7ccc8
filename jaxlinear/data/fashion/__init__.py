"""Fashion-MNIST through tensorflow-datasets, and a sample that is embedded."""
