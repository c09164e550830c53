"""Pictures told in sentences: training, quantisation and export of captioning networks."""
