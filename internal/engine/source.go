package engine

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
)

// DescribeSource checks what a CREATE SOURCE or CREATE TABLE says of the outside world and returns what the
// source promises.
func (e *Engine) DescribeSource(ctx context.Context, rel *catalog.Relation) (connector.Facts, error) {
	src, err := e.cfg.Source(rel.Connector.Name)
	if err != nil {
		return connector.Facts{}, err
	}
	return src.Validate(ctx, &connector.SourceSpec{Name: rel.Name, ID: rel.ID, Connector: *rel.Connector, Columns: rel.Columns,
		PrimaryKey: rel.PrimaryKey, Settings: e.cfg.Settings(rel), Logger: e.log, Instance: e.instance(rel.ID)})
}

// Description is what a connector knows of its records before columns are declared.
type Description = connector.Description

// DescribeRecords asks a source that can know them for the columns of its records; rel has none yet. Other sources
// have an empty description.
func (e *Engine) DescribeRecords(ctx context.Context, rel *catalog.Relation) (Description, error) {
	src, err := e.cfg.Source(rel.Connector.Name)
	if err != nil {
		return Description{}, err
	}
	d, ok := src.(connector.Describer)
	if !ok {
		return Description{}, nil
	}
	return d.Describe(ctx, &connector.SourceSpec{Name: rel.Name, ID: rel.ID, Connector: *rel.Connector, Settings: e.cfg.Settings(rel), Logger: e.log})
}

// instance names a relation as no other server does, for what connectors leave outside.
func (e *Engine) instance(id catalog.ID) string { return fmt.Sprintf("%s-%d", e.cfg.ClusterID, id) }

// CheckSink checks what a CREATE SINK says of its target.
func (e *Engine) CheckSink(ctx context.Context, rel *catalog.Relation, key []int, appendOnly bool) error {
	sink, err := e.cfg.Sink(rel.Connector.Name)
	if err != nil {
		return err
	}
	return sink.Validate(ctx, e.sinkSpec(rel, key, appendOnly))
}

func (e *Engine) sinkSpec(rel *catalog.Relation, key []int, appendOnly bool) *connector.SinkSpec {
	return &connector.SinkSpec{Name: rel.Name, ID: rel.ID, Instance: e.instance(rel.ID), Connector: *rel.Connector, Columns: rel.Columns, Key: key,
		AppendOnly: appendOnly, Settings: e.cfg.Settings(rel), Logger: e.log.With("sink", rel.Name)}
}
