// Package limit holds a program per Nexmark query, written by hand for that query alone: what this machine
// could do if nothing were general. bench/nexmark prints the engine's speed as a part of theirs.
//
// The idea: one thread, the same generated events as the engine's source, and per batch of them the least
// work that keeps the query's result right: open-addressing tables with values inline, wide rows in slabs,
// changes of a batch put out together (−old +new per key). Output columns are really written, strings are
// really copied. Programs use what holds of Nexmark and would be wrong elsewhere: streams only grow, ids are unique
// and below 2³², times ascend, texts that SQL would search are ASCII.
//
// A program belongs to one goroutine. Everything in a batch is valid until the next one.
//
// Invariant: after all events, the net rows that a program put out are as many as the query has.
//
// It takes no part in the database. Start at Run, then programs.
package limit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sort"
	"strconv"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/nexmark"
	"github.com/millrace/millrace/internal/catalog"
)

// Options say which events a program gets.
type Options struct {
	Events    int64
	EventRate int64 // per second of event time
	Seed      int64
}

// Result is what a program took.
type Result struct {
	Query            string  `json:"query"`
	Events           int64   `json:"events"`
	CPUSeconds       float64 `json:"cpu_seconds"`       // of generator and program
	GeneratorSeconds float64 `json:"generator_seconds"` // the generator's part
	Inserts          int64   `json:"inserts"`
	Deletes          int64   `json:"deletes"`
	Rows             int64   `json:"rows"` // net
	StateRows        int     `json:"state_rows"`
	StateBytes       int     `json:"state_bytes"`
}

// program is one query. step takes a batch; state tells the rows and bytes kept.
type program interface {
	step(b *batch)
	state() (rows, bytes int)
}

// programs lists what there is, by query. To add one, write <query>.go and its line here.
var programs = map[string]func(o *out) program{
	"q0":  newQ0,
	"q1":  newQ1,
	"q2":  newQ2,
	"q3":  newQ3,
	"q4":  newQ4,
	"q5":  newQ5,
	"q6":  newQ6,
	"q7":  newQ7,
	"q8":  newQ8,
	"q9":  newQ9,
	"q10": newQ10,
	"q11": newQ11,
	"q12": newQ12,
	"q13": newQ13,
	"q14": newQ14,
	"q15": newQ15,
	"q16": newQ16,
	"q17": newQ17,
	"q18": newQ18,
	"q19": newQ19,
	"q20": newQ20,
	"q21": newQ21,
	"q22": newQ22,
	"q23": newQ23,
}

// Has tells whether there is a program for a query.
func Has(query string) bool { return programs[query] != nil }

// Queries lists the queries that have a program, in order.
func Queries() []string {
	var out []string
	for q := range programs {
		out = append(out, q)
	}
	number := func(q string) int { n, _ := strconv.Atoi(q[1:]); return n }
	sort.Slice(out, func(i, j int) bool { return number(out[i]) < number(out[j]) })
	return out
}

// Run gives all events to the program of a query.
func Run(ctx context.Context, query string, o Options) (*Result, error) {
	if !Has(query) {
		return nil, fmt.Errorf("there is no limit program for %q", query)
	}
	src, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }()
	runtime.LockOSThread() // for the thread's clock
	defer runtime.UnlockOSThread()
	out := newOut()
	p := programs[query](out)
	r := &Result{Query: query}
	var b batch
	for {
		began := threadTime()
		next, err := src.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		b.load(next.Chunk)
		generated := threadTime()
		out.reset()
		p.step(&b)
		stepped := threadTime()
		r.Events += int64(b.rows)
		r.GeneratorSeconds += (generated - began).Seconds()
		r.CPUSeconds += (stepped - began).Seconds()
		src.(connector.Recycler).Recycle(next)
	}
	r.Inserts, r.Deletes = out.inserts, out.deletes
	r.Rows = out.inserts - out.deletes
	r.StateRows, r.StateBytes = p.state()
	return r, nil
}

// open starts the stream with all of its columns, as one split.
func open(ctx context.Context, o Options) (connector.Reader, error) {
	spec := &connector.SourceSpec{Name: "nexmark", Connector: catalog.Connector{Name: "nexmark", Options: map[string]string{
		"nexmark.event.num": strconv.FormatInt(o.Events, 10), "nexmark.event.rate": strconv.FormatInt(o.EventRate, 10),
		"nexmark.seed": strconv.FormatInt(o.Seed, 10), "nexmark.split.num": "1",
	}}, Cols: make([]int, columns)}
	for i := range spec.Cols {
		spec.Cols[i] = i
	}
	return nexmark.Source{}.Open(ctx, spec, []connector.SplitOffset{{Split: "0/1"}})
}
