"""What is done with answered requests besides: shadow runs on another version, in time that nobody else wants"""
