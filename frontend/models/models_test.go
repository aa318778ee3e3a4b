package models

import "testing"

func TestShippedFilesLoad(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if len(p.Entries()) == 0 || len(p.Architectures) == 0 {
			t.Errorf("%s: entries %v, architectures %v", p.Name, p.Entries(), p.Architectures)
		}
	}
}
