package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// takesDML reports whether sessions write to the job's relation.
func (r *running) takesDML() bool { return r.rel.Kind == catalog.Table && r.rel.Captured == nil }

// capturesOf returns the changelogs of a source that captures tables.
func (e *Engine) capturesOf(source catalog.ID) *job.Captures {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.captures[source]
	if c == nil {
		c = &job.Captures{}
		e.captures[source] = c
	}
	return c
}

// forgetCaptures makes a source's job and those of its tables meet in new changelogs.
func (e *Engine) forgetCaptures(source catalog.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.captures, source)
}

// capturedFrom lists the tables that a source feeds, by id.
func capturedFrom(snap *catalog.Snapshot, source catalog.ID) []*catalog.Relation {
	var out []*catalog.Relation
	for _, r := range snap.Sorted() {
		if r.Captured != nil && r.Captured.Source == source {
			out = append(out, r)
		}
	}
	return out
}

func connectorTable(r *catalog.Relation) connector.Table {
	return connector.Table{ID: r.ID, Upstream: r.Captured.Upstream, Columns: r.UpstreamColumns(), Key: r.PrimaryKey, NoSnapshot: r.Captured.NoSnapshot}
}

// captureConfig is what the job of a capturing source needs; nil for any other relation.
func (e *Engine) captureConfig(rel *catalog.Relation) *job.CaptureConfig {
	if !rel.Captures() {
		return nil
	}
	return &job.CaptureConfig{
		Captures: e.capturesOf(rel.ID),
		Tables: func() ([]connector.Table, <-chan struct{}) {
			changed := e.captured.changed()
			var tables []connector.Table
			for _, r := range capturedFrom(e.cfg.Catalog.Snapshot(), rel.ID) {
				if e.runs(r.ID) {
					tables = append(tables, connectorTable(r))
				}
			}
			return tables, changed
		},
		Follow: func(ctx context.Context, change *connector.SchemaChange) error {
			table := e.cfg.Catalog.Snapshot().Relations[change.Table]
			if table == nil {
				return nil // dropped meanwhile
			}
			// What was sent in the old shape is in the table before it takes another.
			if err := e.Checkpoint(ctx); err != nil {
				return err
			}
			return e.cfg.Follow(ctx, table, change)
		},
	}
}

// capturedTables reads how far each table is from the offsets of its source's job.
func (e *Engine) capturedTables(source catalog.ID, jobs []job.SourceStatus) []CapturedTable {
	var out []CapturedTable
	for _, r := range capturedFrom(e.cfg.Catalog.Snapshot(), source) {
		t := CapturedTable{Table: r.ID, Phase: string(cdc.Copying)}
		for _, s := range jobs {
			if o, ok := s.Offsets[connector.TableSplit(r.ID)]; ok && o != "" {
				if at, err := cdc.ParseTableOffset([]byte(o)); err == nil {
					t.Phase, t.Rows, t.Error = string(at.Phase), at.Rows, at.Error
					if at.Gone && at.Phase == cdc.Live {
						t.Phase = "gone"
					}
				}
			}
		}
		out = append(out, t)
	}
	return out
}

// runs reports whether a relation's job is there.
func (e *Engine) runs(id catalog.ID) bool {
	ok := false
	return e.call(func(time.Time) { r := e.jobs[id]; ok = r != nil && !r.stopped }) && ok
}

// captureSpec is what a connector is told of a source that captures tables.
func (e *Engine) captureSpec(rel *catalog.Relation) (connector.Capture, *connector.SourceSpec, error) {
	src, err := e.cfg.Source(rel.Connector.Name)
	if err != nil {
		return nil, nil, err
	}
	c, ok := src.(connector.Capture)
	if !ok {
		return nil, nil, sqlerr.New(sqlerr.WrongObjectType, "source %q does not capture tables: its connector is %q", rel.Name, rel.Connector.Name)
	}
	return c, &connector.SourceSpec{Name: rel.Name, ID: rel.ID, Connector: *rel.Connector, Settings: e.cfg.Settings(rel),
		Logger: e.log, Instance: e.instance(rel.ID)}, nil
}

// HasConnector reports whether there is a connector of the name, for sources or for sinks.
func (e *Engine) HasConnector(name string) bool {
	_, err := e.cfg.Source(name)
	if err != nil {
		_, err = e.cfg.Sink(name)
	}
	return err == nil
}

// IsCapture reports whether a connector captures tables.
func (e *Engine) IsCapture(name string) bool {
	src, err := e.cfg.Source(name)
	_, ok := src.(connector.Capture)
	return err == nil && ok
}

// DescribeTable says what a table looks like in the database that a source captures.
func (e *Engine) DescribeTable(ctx context.Context, source *catalog.Relation, upstream string, key []string) (connector.TableFacts, error) {
	c, spec, err := e.captureSpec(source)
	if err != nil {
		return connector.TableFacts{}, err
	}
	return c.DescribeTable(ctx, spec, upstream, key)
}

// UpstreamError says that something was left in an upstream database.
type UpstreamError struct{ Err error }

func (e *UpstreamError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *UpstreamError) Unwrap() error { return e.Err }

// dropWithin bounds what DROP SOURCE does upstream.
const dropWithin = 15 * time.Second

// dropUpstream removes what a source has made in its upstream database.
func (e *Engine) dropUpstream(ctx context.Context, rel *catalog.Relation) error {
	c, spec, err := e.captureSpec(rel)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, dropWithin)
	defer cancel()
	if err := c.Drop(ctx, spec); err != nil {
		return &UpstreamError{err}
	}
	return nil
}

// failWithin is how long CREATE TABLE bears that its source cannot be read.
const failWithin = 10 * time.Second

// awaitLive waits until a captured table is what the upstream table is.
func (e *Engine) awaitLive(ctx context.Context, rel *catalog.Relation) error {
	e.captured.wake()
	var failing time.Time
	for {
		var r *running
		var phase cdc.TableOffset
		failure := ""
		if !e.call(func(time.Time) {
			if r = e.jobs[rel.Captured.Source]; r == nil {
				return
			}
			for _, s := range r.job.Sources() {
				failure = s.LastError
				if o, ok := s.Offsets[connector.TableSplit(rel.ID)]; ok {
					phase, _ = cdc.ParseTableOffset([]byte(o))
				}
			}
		}) {
			return errClosing
		}
		switch {
		case r == nil || !e.runs(rel.ID):
			return fmt.Errorf("create table %q: %w", rel.Name, e.jobError(rel.ID))
		case phase.Phase == cdc.Stopped:
			return stopped(rel, phase.Error)
		case phase.Phase == cdc.Live:
			if err := e.Checkpoint(ctx); err != nil {
				return err
			}
			if err := e.cfg.Catalog.SetCreated(ctx, rel.ID); err != nil {
				return err
			}
			e.call(func(time.Time) { e.tables.Publish(rel.ID, e.machine.Completed(rel.ID)) })
			e.progress.wake()
			return nil
		case failure == "":
			failing = time.Time{}
		case failing.IsZero():
			failing = time.Now()
		case time.Since(failing) > failWithin:
			return sqlerr.New(sqlerr.ConnectionFailure, "table %q cannot be read from its source: %s", rel.Name, failure)
		}
		select {
		case <-e.progress.changed():
		case <-time.After(tick):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stopped is the error about a table that its source has had to stop.
func stopped(rel *catalog.Relation, why string) error {
	return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "table %q cannot follow its upstream: %s", rel.Name, why)
}

// RefreshCaptured has tables of a source looked at and read anew, after do has changed their columns, and waits until they are what the upstream tables are. With log
// the source goes on with its upstream's log from now on. Error: 55000 when a table cannot be read.
func (e *Engine) RefreshCaptured(ctx context.Context, source *catalog.Relation, tables []catalog.ID, log bool, do func(ctx context.Context) error) error {
	var j *job.Job
	e.call(func(time.Time) {
		if r := e.jobs[source.ID]; r != nil && !r.stopped {
			j = r.job
		}
	})
	if j == nil {
		return fmt.Errorf("refresh source %q: %w", source.Name, e.jobError(source.ID))
	}
	err := j.Refresh(ctx, tables, log, func(ctx context.Context) error {
		if err := e.Checkpoint(ctx); err != nil {
			return err
		}
		return do(ctx)
	})
	for _, id := range tables {
		if rel := e.cfg.Catalog.Snapshot().Relations[id]; err == nil && rel != nil {
			err = e.awaitLive(ctx, rel)
		}
	}
	return err
}

// finishCapture waits, after a restart, for a table whose CREATE was cut off.
func (e *Engine) finishCapture(rel *catalog.Relation) {
	for wait := restartMin; e.ctx.Err() == nil; wait = min(2*wait, restartMax) {
		err := e.awaitLive(e.ctx, rel)
		if err == nil || e.cfg.Catalog.Snapshot().Relations[rel.ID] == nil {
			return
		}
		select {
		case <-time.After(wait):
		case <-e.ctx.Done():
		}
	}
}
