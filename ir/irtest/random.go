package irtest

import (
	"apogee/ir/random"
)

// RandomOptions say what a random module is made of.
type RandomOptions = random.Options

// What package random makes, under the names that tests know it by.
var (
	Random        = random.Module
	RandomTensor  = random.Tensor
	Env           = random.Env
	Inputs        = random.Inputs
	WeightTensors = random.Weights
	Shrink        = random.Shrink
)
