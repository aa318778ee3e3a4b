package onnx

import (
	"fmt"
	"sort"
)

// Row is an entry of the table of operators: how an operator is lowered from a version of its operator set on.
type Row struct {
	Domain string // "" is the standard one
	Op     string
	Since  int64 // the first version that the lowering is for; the next row of the operator takes over from its own
	Lower  func(n *node)
	Doc    string // one sentence: what it computes, or what changed with the version
}

type tableKey struct{ domain, name string }

var table = map[tableKey][]*Row{}

// register adds rows to the table. It is called from the init functions of the files of operators.
func register(rows ...Row) {
	for i := range rows {
		r := &rows[i]
		k := tableKey{r.Domain, r.Op}
		list := table[k]
		at := sort.Search(len(list), func(j int) bool { return list[j].Since >= r.Since })
		if at < len(list) && list[at].Since == r.Since {
			panic(fmt.Sprintf("operator table: %s stands twice for version %d", opName(r.Domain, r.Op), r.Since))
		}
		list = append(list, nil)
		copy(list[at+1:], list[at:])
		list[at] = r
		table[k] = list
	}
}

// Operators lists the table by domain, name and version.
func Operators() []*Row {
	var out []*Row
	for _, rows := range table {
		out = append(out, rows...)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.Domain != b.Domain {
			return a.Domain < b.Domain
		}
		if a.Op != b.Op {
			return a.Op < b.Op
		}
		return a.Since < b.Since
	})
	return out
}

// The reasons for which operators of the standard domain are out of scope.
const (
	forStrings   = "strings are out of scope"
	forSequences = "sequences and optionals are out of scope"
	forRandom    = "random output is out of scope: no two runs would agree"
	forTraining  = "training is out of scope"
	forImages    = "decoding images is out of scope"
)

// excluded are the operators of the standard domain that are out of scope, each with the reason.
var excluded = map[string]string{
	"StringConcat": forStrings, "StringSplit": forStrings, "StringNormalizer": forStrings, "RegexFullMatch": forStrings, "TfIdfVectorizer": forStrings,
	"SequenceAt": forSequences, "SequenceConstruct": forSequences, "SequenceEmpty": forSequences, "SequenceErase": forSequences, "SequenceInsert": forSequences,
	"SequenceLength": forSequences, "SequenceMap": forSequences, "SplitToSequence": forSequences, "ConcatFromSequence": forSequences,
	"Optional": forSequences, "OptionalGetElement": forSequences, "OptionalHasElement": forSequences,
	"RandomNormal": forRandom, "RandomNormalLike": forRandom, "RandomUniform": forRandom, "RandomUniformLike": forRandom, "Multinomial": forRandom, "Bernoulli": forRandom,
	"SoftmaxCrossEntropyLoss": forTraining, "NegativeLogLikelihoodLoss": forTraining,
	"ImageDecoder": forImages,
}
