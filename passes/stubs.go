package passes

var absorbInfo = &Info{Name: "absorb", run: func(*Pass) error { return nil }}
var recogniseInfo = &Info{Name: "recognise", run: func(*Pass) error { return nil }}
var precisionInfo = &Info{Name: "precision", run: func(*Pass) error { return nil }}
var legaliseInfo = &Info{Name: "legalise", run: func(*Pass) error { return nil }}
var fuseInfo = &Info{Name: "fuse", Options: []OptionInfo{{Name: "max", Default: "64", Number: true}}, run: func(*Pass) error { return nil }}
