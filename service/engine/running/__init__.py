"""One iteration computed: inputs laid side by side, the call of the network, states and outputs back."""
