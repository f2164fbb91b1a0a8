package codec

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/registry"
	"github.com/millrace/millrace/internal/sqlerr"
)

// protoRows decodes Protobuf messages into rows: with a registry each message names its schema, and there is a plan for
// each schema; with schema.location there is one schema.
//
// Evolution is by number, as Protobuf means it: the schema that the source was created with says which number a column
// has. A field that is not in a message has its default, or is NULL where its absence can be told.
type protoRows struct {
	*target
	options *protoOptions
	schemas *protoSchemas
	message string // full or short name of the message; "": any
	fill    bool   // columns that have a value already keep it
	plans   map[string]*protoMessage
	reader  protoreflect.MessageDescriptor
	prefix  []byte // of the last message: schema and message
	last    *protoMessage
}

// protoMessage is the plan for one message of one schema, or why there is none.
type protoMessage struct {
	plan *protoPlan
	err  error
}

// protoOptions are those of ENCODE PROTOBUF.
type protoOptions struct {
	registry   *registry.Config
	location   string
	subjects   *subjectOptions
	mapsAsJSON bool
	readerID   int
	keyID      int
}

func parseProtoOptions(what string, options map[string]string) (*protoOptions, error) {
	o := option.New(what, options)
	out := &protoOptions{registry: registry.Parse(o), location: o.String("schema.location", ""), subjects: parseSubjects(o)}
	out.mapsAsJSON = o.Enum("map.handling.mode", "map", "map", "jsonb") == "jsonb"
	out.readerID = int(o.Int(readerIDOption, 0, 0, 1<<31-1))
	out.keyID = int(o.Int(keyIDOption, 0, 0, 1<<31-1))
	o.Ignore("key.encode")
	switch {
	case out.registry == nil && out.location == "" && o.Done() == nil:
		o.Fail("%s needs one of the options \"schema.registry\" and \"schema.location\"", what)
	case out.registry != nil && out.location != "":
		o.Fail("options \"schema.registry\" and \"schema.location\" exclude each other")
	case out.location != "" && out.subjects.message == "":
		o.Fail("%s with \"schema.location\" needs the option \"message\"", what)
	}
	return out, o.Done()
}

// protoSchemas finds schemas: by id in a registry, or the one of a location.
type protoSchemas struct {
	client *registry.Client // nil: located
	files  map[int]*protoFile
}

func newProtoSchemas(o *protoOptions) (*protoSchemas, error) {
	s := &protoSchemas{files: map[int]*protoFile{}}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	var err error
	if o.registry == nil {
		s.files[0], err = locatedProto(ctx, o.location, o.subjects.message)
		return s, err
	}
	s.client, err = registry.New(o.registry)
	return s, err
}

// file returns the schema with an id.
func (s *protoSchemas) file(id int) (*protoFile, error) {
	if f := s.files[id]; f != nil || s.client == nil {
		return f, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	r, err := s.client.ByID(ctx, id)
	if err != nil {
		return nil, err
	}
	f, err := registeredProto(ctx, r)
	if err == nil {
		s.files[id] = f
	}
	return f, err
}

func newProtoRows(t *target, o *protoOptions, s *protoSchemas, message string) *protoRows {
	return &protoRows{target: t, options: o, schemas: s, message: message, plans: map[string]*protoMessage{}}
}

// readerMessage returns the message that the source was created with, nil if that is not known.
func (d *protoRows) readerMessage() (protoreflect.MessageDescriptor, error) {
	if d.reader != nil || d.schemas.client == nil || d.options.readerID == 0 {
		return d.reader, nil
	}
	f, err := d.schemas.file(d.options.readerID)
	if err != nil {
		return nil, err
	}
	d.reader, err = f.message(d.message)
	return d.reader, err
}

// split cuts what names the schema and the message off a record.
func (d *protoRows) split(b []byte) (prefix, rest []byte, err error) {
	if d.schemas.client == nil {
		return nil, b, nil
	}
	if len(d.prefix) > 0 && len(b) >= len(d.prefix) && string(b[:len(d.prefix)]) == string(d.prefix) {
		return d.prefix, b[len(d.prefix):], nil
	}
	_, rest, err = schemaID(b)
	if err != nil {
		return nil, nil, err
	}
	_, n, err := messagePath(rest)
	return b[:magicSize+n], rest[max(n, 0):], err
}

// messagePath reads which message of a file a record is: how many indexes there are, and the indexes; a lone zero is
// the first message.
func messagePath(b []byte) (path []int, n int, err error) {
	bad := sqlerr.New(sqlerr.InvalidBinaryRepresentation, "record does not say which message of its schema it is")
	count, n := binary.Varint(b)
	if n <= 0 || count < 0 || count > 64 {
		return nil, 0, bad
	}
	if count == 0 {
		return []int{0}, n, nil
	}
	for range count {
		x, k := binary.Varint(b[n:])
		if k <= 0 || x < 0 || x > 1<<20 {
			return nil, 0, bad
		}
		path = append(path, int(x))
		n += k
	}
	return path, n, nil
}

// find returns the plan for a schema and message, and makes it when it is met for the first time.
func (d *protoRows) find(prefix []byte) (*protoPlan, error) {
	if d.last != nil && string(prefix) == string(d.prefix) {
		return d.last.plan, d.last.err
	}
	m := d.plans[string(prefix)]
	if m == nil {
		p, err := d.compile(prefix)
		if err != nil && (registry.IsOutage(err) || sqlerr.CodeOf(err) == sqlerr.UndefinedObject) {
			return nil, err
		}
		m = &protoMessage{p, err}
		d.plans[string(prefix)] = m
	}
	d.prefix, d.last = append(d.prefix[:0], prefix...), m
	return m.plan, m.err
}

func (d *protoRows) compile(prefix []byte) (*protoPlan, error) {
	reader, err := d.readerMessage()
	if err != nil {
		return nil, err
	}
	id := 0
	if len(prefix) > 0 {
		id = int(binary.BigEndian.Uint32(prefix[1:]))
	}
	f, err := d.schemas.file(id)
	if err != nil {
		return nil, err
	}
	m, err := d.messageOf(f, prefix)
	if err != nil {
		return nil, err
	}
	p, err := protoCompiler{d.settings, f}.plan(m, reader, d.wanted())
	if err != nil && id > 0 {
		err = fmt.Errorf("schema %d: %w", id, err)
	}
	return p, err
}

// messageOf finds the message that a record says it is, and refuses another one than the option names.
func (d *protoRows) messageOf(f *protoFile, prefix []byte) (protoreflect.MessageDescriptor, error) {
	if len(prefix) == 0 {
		return f.message(d.message)
	}
	path, _, err := messagePath(prefix[magicSize:])
	if err != nil {
		return nil, err
	}
	m, err := f.at(path)
	if err != nil {
		return nil, err
	}
	if n := protoreflect.FullName(d.message); n != "" && n != m.FullName() && n != protoreflect.FullName(m.Name()) {
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "record is a message %s, not %s", m.FullName(), n)
	}
	return m, nil
}

func (d *protoRows) wanted() []wanted {
	out := make([]wanted, len(d.columns))
	for i, c := range d.columns {
		out[i] = wanted{c.name, c.typ, c.slot}
	}
	return out
}

// decode decodes a message into the columns.
func (d *protoRows) decode(b []byte, to *Rows) error {
	if b == nil {
		return sqlerr.New(sqlerr.NullValueNotAllowed, "record has no value")
	}
	prefix, rest, err := d.split(b)
	if err != nil {
		return err
	}
	p, err := d.find(prefix)
	if err != nil {
		return err
	}
	if err := p.scan(rest); err != nil {
		return err
	}
	if err := d.take(p, p.fields, to); err != nil {
		return err
	}
	return d.take(p, p.missing, to)
}

func (d *protoRows) take(p *protoPlan, fields []protoField, to *Rows) error {
	for i := range fields {
		f := &fields[i]
		if f.node == nil && !f.whole {
			continue
		}
		col := to.cols[f.slot]
		if d.fill && col.Len() > to.n {
			continue
		}
		if err := p.append(f, col); err != nil {
			return wrapColumn(f.name, err)
		}
	}
	return nil
}

// readKey implements keyReader.
func (d *protoRows) readKey(key []byte, to *Rows) error { return d.decode(key, to) }

// check implements checker: the schema that the source is created with has the columns.
func (d *protoRows) check() error { return d.checkColumns(false) }

func (d *protoRows) checkColumns(keysElsewhere bool) error {
	id := d.options.readerID
	if d.schemas.client != nil && id == 0 {
		return nil
	}
	f, err := d.schemas.file(id)
	if err != nil {
		return err
	}
	m, err := f.message(d.message)
	if err != nil {
		return err
	}
	var want []wanted
	for _, c := range d.columns {
		if protoFieldOf(m, nil, c.name) == nil {
			if c.key && keysElsewhere {
				continue
			}
			return noProtoField(m, c.name)
		}
		want = append(want, wanted{c.name, c.typ, c.slot})
	}
	_, err = protoCompiler{d.settings, f}.plan(m, nil, want)
	return err
}

func noProtoField(m protoreflect.MessageDescriptor, name string) error {
	e := sqlerr.New(sqlerr.UndefinedColumn, "column %q is not a field of the Protobuf message %s", name, m.FullName())
	var names []string
	for i := range m.Fields().Len() {
		names = append(names, string(m.Fields().Get(i).Name()))
	}
	if near, ok := option.Nearest(name, names); ok {
		return e.WithHint("Perhaps you meant the field %q.", near)
	}
	return e.WithHint("Its fields are: %s.", option.List(names))
}

// protoDecoder decodes records that are one row each.
type protoDecoder struct{ *protoRows }

func newProto(t *target, spec *connector.SourceSpec) (Decoder, error) {
	d, err := protoRowsOf(t, spec)
	return &protoDecoder{d}, err
}

func protoRowsOf(t *target, spec *connector.SourceSpec) (*protoRows, error) {
	o, err := parseProtoOptions("ENCODE PROTOBUF", spec.Connector.FormatOptions)
	if err != nil {
		return nil, err
	}
	s, err := newProtoSchemas(o)
	if err != nil {
		return nil, err
	}
	return newProtoRows(t, o, s, o.subjects.message), nil
}

// Decode implements Decoder.
func (d *protoDecoder) Decode(rec *Record, to *Rows) error {
	start := to.n
	err := d.decode(rec.Value, to)
	if err == nil {
		err = d.appendIncludes(rec, to, false)
	}
	if err != nil {
		to.rollback(start)
		return err
	}
	to.end(1)
	return nil
}

// protoKeyed decodes records with a key: the value puts its row, a tombstone deletes the row of the key. A key is a message
// where the option key.message names one, and text or JSON otherwise.
type protoKeyed struct {
	rows *protoRows
	keys keyReader
}

func newProtoUpsert(t *target, spec *connector.SourceSpec) (Decoder, error) {
	rows, err := protoRowsOf(t, spec)
	if err != nil {
		return nil, err
	}
	d := &protoKeyed{rows: rows}
	encode := spec.Connector.FormatOptions["key.encode"]
	if message := rows.options.subjects.keyMessage; message != "" && (encode == "" || encode == "PROTOBUF") {
		own := *rows.options
		own.readerID = own.keyID
		keys := newProtoRows(t.keyColumns(), &own, rows.schemas, message)
		keys.fill = true
		d.keys = keys
		return d, nil
	}
	if encode == "" {
		encode = "TEXT"
	}
	d.keys, err = textKeys(t, encode, "PROTOBUF")
	if d.keys == nil && err == nil {
		err = sqlerr.New(sqlerr.InvalidParameterValue, "KEY ENCODE PROTOBUF needs the option \"key.message\"")
	}
	return d, err
}

// Decode implements Decoder.
func (d *protoKeyed) Decode(rec *Record, to *Rows) error {
	start := to.n
	err := d.decode(rec, to)
	if err != nil {
		to.rollback(start)
	}
	return err
}

func (d *protoKeyed) decode(rec *Record, to *Rows) error {
	if len(rec.Value) == 0 && (rec.Value == nil || d.rows.schemas.client != nil) {
		return d.rows.deleteKey(rec, d.keys, to)
	}
	if err := d.rows.decode(rec.Value, to); err != nil {
		return err
	}
	if d.rows.lacksKey(to) && rec.Key != nil {
		if err := d.keys.readKey(rec.Key, to); err != nil {
			return err
		}
	}
	return d.rows.finishRow(rec, to, 1)
}

// check implements checker.
func (d *protoKeyed) check() error { return d.rows.checkColumns(true) }

// describeProto returns the columns of a message.
func describeProto(ctx context.Context, spec *connector.SourceSpec) (d connector.Description, err error) {
	o, err := parseProtoOptions("ENCODE PROTOBUF", spec.Connector.FormatOptions)
	if err != nil {
		return d, err
	}
	s, err := newProtoSchemas(o)
	if err != nil {
		return d, err
	}
	f := s.files[0]
	d.FormatOptions = map[string]string{}
	if s.client != nil {
		latest, err := latestOf(ctx, s.client, o.subjects, spec, false)
		if err != nil {
			return d, err
		}
		if f, err = registeredProto(ctx, latest); err != nil {
			return d, err
		}
		d.FormatOptions[readerIDOption] = strconv.Itoa(latest.ID)
	}
	m, err := f.message(o.subjects.message)
	if err != nil {
		return d, err
	}
	d.Columns = protoTypes{mapsAsJSON: o.mapsAsJSON}.columns(m)
	if spec.Connector.Format != "UPSERT" || o.subjects.keyMessage == "" {
		return d, nil
	}
	if s.client != nil {
		latest, err := latestOf(ctx, s.client, o.subjects, spec, true)
		if err != nil {
			return d, err
		}
		if f, err = registeredProto(ctx, latest); err != nil {
			return d, err
		}
		d.FormatOptions[keyIDOption] = strconv.Itoa(latest.ID)
	}
	if m, err = f.message(o.subjects.keyMessage); err != nil {
		return d, err
	}
	for _, c := range (protoTypes{}).columns(m) {
		d.Key = append(d.Key, c.Name)
	}
	return d, nil
}

// latestOf asks for the newest schema of a topic's values or keys.
func latestOf(ctx context.Context, client *registry.Client, s *subjectOptions, spec *connector.SourceSpec, key bool) (*registry.Schema, error) {
	topic := ""
	if s.strategy != "record_name_strategy" {
		var err error
		if topic, err = topicOf(spec.Connector.Options); err != nil {
			return nil, err
		}
	}
	if key {
		return client.Latest(ctx, s.key(topic))
	}
	return client.Latest(ctx, s.value(topic))
}
