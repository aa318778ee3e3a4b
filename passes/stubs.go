package passes

var absorbInfo = &Info{Name: "absorb", run: func(*Pass) error { return nil }}
var recogniseInfo = &Info{Name: "recognise", run: func(*Pass) error { return nil }}
var legaliseInfo = &Info{Name: "legalise", run: func(*Pass) error { return nil }}
