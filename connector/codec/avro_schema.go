package codec

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/millrace/millrace/connector/registry"
	"github.com/millrace/millrace/internal/sqlerr"
)

// avroKind is what a value of an Avro schema looks like on the wire.
type avroKind uint8

const (
	avroNull avroKind = iota
	avroBoolean
	avroInt
	avroLong
	avroFloat
	avroDouble
	avroBytes
	avroString
	avroRecord
	avroEnum
	avroArray
	avroMap
	avroUnion
	avroFixed
)

var avroKinds = map[string]avroKind{
	"null": avroNull, "boolean": avroBoolean, "int": avroInt, "long": avroLong, "float": avroFloat, "double": avroDouble,
	"bytes": avroBytes, "string": avroString, "record": avroRecord, "error": avroRecord, "enum": avroEnum,
	"array": avroArray, "map": avroMap, "fixed": avroFixed,
}

var avroKindNames = [...]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum", "array", "map", "union", "fixed"}

func (k avroKind) String() string { return avroKindNames[k] }

// avroSchema is one node of a parsed schema. A schema that names itself is a cycle of nodes.
type avroSchema struct {
	kind    avroKind
	name    string // full name of a record, enum or fixed
	logical string // logicalType, or the name that Kafka Connect gives the type
	fields  []avroField
	symbols []string
	// fallback is the symbol that stands for those that a reader does not know; "" for none.
	fallback string
	items    *avroSchema // of an array or map
	union    []*avroSchema
	size     int // of a fixed
	scale    int // of a decimal
}

type avroField struct {
	name    string
	aliases []string
	schema  *avroSchema
	def     json.RawMessage // nil: no default
}

// parseAvro reads a registered schema with those it refers to.
func parseAvro(s *registry.Schema) (*avroSchema, error) {
	p := avroParser{named: map[string]*avroSchema{}}
	for _, r := range s.References {
		if _, err := p.parse(bytes.TrimSpace([]byte(r.Text)), ""); err != nil {
			return nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "Avro schema %q is not valid", r.Name).WithDetail("%v", err).WithCause(err)
		}
	}
	text := []byte(strings.TrimSpace(s.Text))
	if len(text) > 0 && text[0] != '{' && text[0] != '[' && text[0] != '"' { // a bare name, as some registries keep it
		text, _ = json.Marshal(string(text))
	}
	out, err := p.parse(text, "")
	if err != nil {
		return nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "Avro schema is not valid").WithDetail("%v", err).WithCause(err)
	}
	return out, nil
}

// maxSchemaDepth bounds the nesting of a schema.
const maxSchemaDepth = 200

type avroParser struct {
	named map[string]*avroSchema
	depth int
}

// avroJSON is a schema that is an object.
type avroJSON struct {
	Type      json.RawMessage `json:"type"`
	Name      string          `json:"name"`
	Namespace *string         `json:"namespace"`
	Fields    []avroJSONField `json:"fields"`
	Symbols   []string        `json:"symbols"`
	Items     json.RawMessage `json:"items"`
	Values    json.RawMessage `json:"values"`
	Size      int             `json:"size"`
	Logical   looseText       `json:"logicalType"`
	Scale     looseInt        `json:"scale"`
	Aliases   []string        `json:"aliases"`
	Connect   looseText       `json:"connect.name"`
}

// looseText and looseInt are properties that a schema is valid without: of another type they count as absent.
type (
	looseText string
	looseInt  int
)

// UnmarshalJSON implements json.Unmarshaler.
func (t *looseText) UnmarshalJSON(b []byte) error {
	_ = json.Unmarshal(b, (*string)(t))
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *looseInt) UnmarshalJSON(b []byte) error {
	_ = json.Unmarshal(b, (*int)(n))
	return nil
}

type avroJSONField struct {
	Name    string          `json:"name"`
	Aliases []string        `json:"aliases"`
	Type    json.RawMessage `json:"type"`
	Default json.RawMessage `json:"default"`
}

func badAvro(format string, args ...any) error {
	return sqlerr.New(sqlerr.InvalidTextRepresentation, format, args...)
}

func (p *avroParser) parse(text json.RawMessage, space string) (*avroSchema, error) {
	if p.depth++; p.depth > maxSchemaDepth {
		return nil, badAvro("schema is nested too deeply")
	}
	defer func() { p.depth-- }()
	if len(text) == 0 {
		return nil, badAvro("a type is missing")
	}
	switch text[0] {
	case '"':
		var name string
		if err := json.Unmarshal(text, &name); err != nil {
			return nil, err
		}
		return p.byName(name, space)
	case '[':
		return p.parseUnion(text, space)
	}
	var j avroJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return nil, err
	}
	return p.object(&j, space)
}

func (p *avroParser) byName(name, space string) (*avroSchema, error) {
	if k, ok := avroKinds[name]; ok && k <= avroString {
		return &avroSchema{kind: k}, nil
	}
	if s := p.named[fullName(name, space)]; s != nil {
		return s, nil
	}
	if s := p.named[name]; s != nil {
		return s, nil
	}
	return nil, badAvro("there is no type %q", name)
}

func (p *avroParser) parseUnion(text json.RawMessage, space string) (*avroSchema, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	s := &avroSchema{kind: avroUnion}
	for _, t := range list {
		b, err := p.parse(t, space)
		if err != nil {
			return nil, err
		}
		if b.kind == avroUnion {
			return nil, badAvro("a union holds a union")
		}
		s.union = append(s.union, b)
	}
	if len(s.union) == 0 {
		return nil, badAvro("a union has no types")
	}
	return s, nil
}

// fullName puts a namespace in front of a name that has none.
func fullName(name, space string) string {
	if space == "" || strings.ContainsRune(name, '.') {
		return name
	}
	return space + "." + name
}

func (p *avroParser) object(j *avroJSON, space string) (*avroSchema, error) {
	if len(j.Type) > 0 && j.Type[0] != '"' { // {"type": {…}}, as some tools write
		return p.parse(j.Type, space)
	}
	var word string
	if err := json.Unmarshal(j.Type, &word); err != nil {
		return nil, badAvro("a type is missing")
	}
	k, ok := avroKinds[word]
	if !ok {
		return p.byName(word, space)
	}
	s := &avroSchema{kind: k, logical: string(j.Logical), scale: int(j.Scale)}
	if s.logical == "" {
		s.logical = string(j.Connect)
	}
	if k == avroRecord || k == avroEnum || k == avroFixed {
		if j.Name == "" {
			return nil, badAvro("a type %q has no name", word)
		}
		if i := strings.LastIndexByte(j.Name, '.'); i >= 0 {
			space = j.Name[:i]
		} else if j.Namespace != nil {
			space = *j.Namespace
		}
		s.name = fullName(j.Name, space)
		if p.named[s.name] != nil {
			return nil, badAvro("type %q is defined twice", s.name)
		}
		p.named[s.name] = s
		for _, a := range j.Aliases {
			if a = fullName(a, space); p.named[a] == nil {
				p.named[a] = s
			}
		}
	}
	var err error
	switch k {
	case avroRecord:
		err = p.fields(s, j, space)
	case avroEnum:
		s.symbols = j.Symbols
	case avroArray:
		s.items, err = p.parse(j.Items, space)
	case avroMap:
		s.items, err = p.parse(j.Values, space)
	case avroFixed:
		if s.size = j.Size; s.size < 0 || s.size > 1<<30 {
			err = badAvro("type %q has an impossible size", s.name)
		}
	}
	return s, err
}

func (p *avroParser) fields(s *avroSchema, j *avroJSON, space string) error {
	seen := make(map[string]bool, len(j.Fields))
	for _, f := range j.Fields {
		if f.Name == "" || seen[f.Name] {
			return badAvro("record %q has a field without a name of its own: %q", s.name, f.Name)
		}
		seen[f.Name] = true
		t, err := p.parse(f.Type, space)
		if err != nil {
			return badAvro("field %q: %v", f.Name, err)
		}
		s.fields = append(s.fields, avroField{f.Name, f.Aliases, t, f.Default})
	}
	return nil
}

// nullable returns the only branch of a union that is not null; ok is false for other unions and other schemas.
func (s *avroSchema) nullable() (branch *avroSchema, ok bool) {
	if s.kind != avroUnion {
		return nil, false
	}
	for _, b := range s.union {
		if b.kind == avroNull {
			continue
		}
		if branch != nil {
			return nil, false
		}
		branch = b
	}
	return branch, branch != nil
}

// String describes a schema in a message: its type, and what it means.
func (s *avroSchema) String() string {
	switch {
	case s.kind == avroUnion:
		names := make([]string, len(s.union))
		for i, b := range s.union {
			names[i] = b.String()
		}
		return "union(" + strings.Join(names, ", ") + ")"
	case s.kind == avroArray || s.kind == avroMap:
		return s.kind.String() + "(" + s.items.kind.String() + ")"
	case s.logical != "":
		return s.kind.String() + " (" + s.logical + ")"
	case s.name != "":
		return s.kind.String() + " " + s.name
	}
	return s.kind.String()
}
