package codec

import (
	"context"
	"slices"
	"strconv"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/registry"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// describeAvro asks the registry for the newest schemas of the topic.
func describeAvro(ctx context.Context, spec *connector.SourceSpec) (d connector.Description, err error) {
	o, subjects, err := parseAvroOptions("ENCODE AVRO", spec.Connector.FormatOptions)
	if err != nil {
		return d, err
	}
	client, err := registry.New(o.registry)
	if err != nil {
		return d, err
	}
	latest, err := latestOf(ctx, client, subjects, spec, false)
	if err != nil {
		return d, err
	}
	s, err := avroOf(latest)
	if err != nil {
		return d, err
	}
	part := ""
	if spec.Connector.Format == "DEBEZIUM" {
		part = "after"
	}
	row, err := rowSchema(s, part)
	if err != nil {
		return d, err
	}
	types := avroTypes{mapsAsJSON: o.mapsAsJSON}
	d.Columns = types.columns(row)
	d.FormatOptions = map[string]string{readerIDOption: strconv.Itoa(latest.ID)}
	if spec.Connector.Format != "PLAIN" && spec.Connector.Format != "" {
		err = describeAvroKey(ctx, client, spec, subjects, types, &d)
	}
	return d, err
}

// describeAvroKey adds what the schema of the keys says, if there is one.
func describeAvroKey(ctx context.Context, client *registry.Client, spec *connector.SourceSpec, subjects *subjectOptions, types avroTypes, d *connector.Description) error {
	if k := spec.Connector.FormatOptions["key.encode"]; !subjects.keyed() || k != "" && k != "AVRO" {
		return nil
	}
	latest, err := latestOf(ctx, client, subjects, spec, true)
	if sqlerr.CodeOf(err) == sqlerr.UndefinedObject {
		return nil // keys are plain bytes
	}
	if err != nil {
		return err
	}
	s, err := avroOf(latest)
	if err != nil {
		return err
	}
	d.Included = map[string]sqltypes.Type{"key": types.of(s)}
	d.FormatOptions[keyIDOption] = strconv.Itoa(latest.ID)
	for i := range s.fields {
		name := s.fields[i].name
		if !slices.ContainsFunc(d.Columns, func(c catalog.Column) bool { return c.Name == name }) {
			d.Key = nil
			return nil
		}
		d.Key = append(d.Key, name)
	}
	return nil
}

// check implements checker: the schema that the source is created with fits the columns.
func (d *avroRows) check() error { return d.checkColumns(false) }

// checkColumns compares the columns with the schema; those of the key may be missing where the key brings them.
func (d *avroRows) checkColumns(keysElsewhere bool) error {
	if d.options.readerID == 0 {
		return nil
	}
	s, err := d.options.fetch(d.client, d.options.readerID)
	if err != nil {
		return err
	}
	row, err := rowSchema(s, d.part)
	if err != nil {
		return err
	}
	for i := range d.columns {
		c := &d.columns[i]
		if fieldOf(row, c.name) >= 0 || c.key && keysElsewhere {
			continue
		}
		e := sqlerr.New(sqlerr.UndefinedColumn, "column %q is not a field of the Avro schema %s", c.name, row.name)
		var names []string
		for k := range row.fields {
			names = append(names, row.fields[k].name)
		}
		if near, ok := option.Nearest(c.name, names); ok {
			return e.WithHint("Perhaps you meant the field %q.", near)
		}
		return e.WithHint("Its fields are: %s.", option.List(names))
	}
	_, err = d.compile(s)
	return err
}
