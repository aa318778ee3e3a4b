package diag

import (
	"sort"
	"sync"
)

// Code is one kind of diagnostic.
type Code struct {
	// ID is the short name, such as "CHIP003": the package's word in capitals and three digits.
	ID string
	// Doc says in a sentence what is wrong and what to do.
	Doc string
	// Example is the smallest text that triggers the code. Empty only where no text can (an internal
	// check), and then Doc says so.
	Example string
}

var codes struct {
	sync.Mutex
	byID map[string]Code
}

// Register adds a code to the table and returns its ID, so that it can be used as
//
//	var CodeUnit = diag.Register("CHIP003", "…", "…")
//
// Registering one ID twice is a programming mistake and panics at start-up.
func Register(id, doc, example string) string {
	codes.Lock()
	defer codes.Unlock()
	if _, dup := codes.byID[id]; dup {
		panic("diag: code " + id + " registered twice")
	}
	if codes.byID == nil {
		codes.byID = make(map[string]Code)
	}
	codes.byID[id] = Code{id, doc, example}
	return id
}

// Codes gives all registered codes, sorted by ID. What is registered depends on the packages linked in.
func Codes() []Code {
	codes.Lock()
	defer codes.Unlock()
	out := make([]Code, 0, len(codes.byID))
	for _, c := range codes.byID {
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// LookupCode gives the code with an ID.
func LookupCode(id string) (Code, bool) {
	codes.Lock()
	defer codes.Unlock()
	c, ok := codes.byID[id]
	return c, ok
}
