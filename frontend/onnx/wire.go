package onnx

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// wireShape says which fields of a message are messages themselves, so that they can be counted before memory is taken for them.
type wireShape map[protowire.Number]*wireShape

// The shapes of the messages that hold others.
var (
	leafShape     = &wireShape{}
	modelShape    = &wireShape{8: leafShape, 14: leafShape, 25: functionShape}
	graphShape    = &wireShape{}
	nodeShape     = &wireShape{}
	functionShape = &wireShape{}
	attrShape     = &wireShape{}
	tensorShape   = &wireShape{3: leafShape, 13: leafShape}
	sparseShape   = &wireShape{1: tensorShape, 2: tensorShape}
	typeShape     = &wireShape{}
	infoShape     = &wireShape{2: typeShape}
)

func init() {
	dims := &wireShape{1: leafShape}
	plain := &wireShape{2: dims}
	nested := &wireShape{1: typeShape, 2: typeShape}
	*typeShape = wireShape{1: plain, 4: nested, 5: nested, 8: plain, 9: nested}
	*attrShape = wireShape{5: tensorShape, 6: graphShape, 10: tensorShape, 11: graphShape, 14: typeShape, 15: typeShape, 22: sparseShape, 23: sparseShape}
	*nodeShape = wireShape{5: attrShape}
	*functionShape = wireShape{7: nodeShape, 9: leafShape, 11: attrShape, 12: infoShape}
	*graphShape = wireShape{1: nodeShape, 5: tensorShape, 11: infoShape, 12: infoShape, 13: infoShape, 15: sparseShape}
}

// countMessages walks the messages in a message's bytes. It fails when they nest deeper than depth or are more than the budget, of
// which it takes one each.
func countMessages(b []byte, s *wireShape, depth int, budget *int) error {
	if depth == 0 {
		return fmt.Errorf("messages are nested more than %d deep", MaxDepth)
	}
	return fieldsOf(b, func(num protowire.Number, value, _ []byte) error {
		inner := (*s)[num]
		if inner == nil || value == nil {
			return nil
		}
		if *budget--; *budget < 0 {
			return fmt.Errorf("the file holds more messages than its size can fill: most are empty")
		}
		return countMessages(value, inner, depth-1, budget)
	})
}
