"""What is done with answered requests besides: shadow runs on another version, samples of inputs"""
