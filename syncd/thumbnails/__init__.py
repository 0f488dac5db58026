"""Small pictures of images that come from strangers."""
