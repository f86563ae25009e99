"""Mixed traffic from a YAML file, sent by several processes: at one rate, at rates searched for, under each implementation."""
