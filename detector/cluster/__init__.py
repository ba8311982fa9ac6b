"""Training on several devices and hosts: who takes part, which images each computes, one step of all together."""
