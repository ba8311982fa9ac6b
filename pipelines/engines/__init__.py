"""Engines that run a conversion outside this process: Flink and Prism on this machine."""
