package mysql

import (
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/connector/cdc"
)

// BenchmarkSnapshot reads pieces of a table of seven columns.
func BenchmarkSnapshot(b *testing.B) {
	const rows = 200000
	u, m := benchWorld(b)
	server(b).Exec(b, "USE bench; INSERT INTO t SELECT seq, seq * 2, CONCAT('name ', seq), seq / 7, '2024-01-02 03:04:05', NULL, 'x' FROM seq_1_to_200000")
	tables := []*cdc.Table{{Table: m.spec.Tables[0], Rows: cdc.NewRows(m.spec.Tables[0])}}
	st, err := u.Stream(b.Context(), nil, tables)
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	for b.Loop() {
		var after []byte
		for end := false; !end; {
			r := cdc.NewRows(tables[0].Table)
			if after, end, err = u.Chunk(b.Context(), tables[0], after, 8192, &r); err != nil {
				b.Fatal(err)
			}
			r.Take()
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkLog reads rows of one transaction from the log.
func BenchmarkLog(b *testing.B) {
	const rows = 200000
	for b.Loop() {
		b.StopTimer()
		u, m := benchWorld(b)
		tables := []*cdc.Table{{Table: m.spec.Tables[0], Rows: cdc.NewRows(m.spec.Tables[0])}}
		st, err := u.Stream(b.Context(), nil, tables)
		if err != nil {
			b.Fatal(err)
		}
		server(b).Exec(b, "USE bench; INSERT INTO t SELECT seq, seq * 2, CONCAT('name ', seq), seq / 7, '2024-01-02 03:04:05', NULL, 'x' FROM seq_1_to_200000")
		b.StartTimer()
		for n := 0; n < rows; {
			if _, err := st.Next(b.Context()); err != nil {
				b.Fatal(err)
			}
			if c := tables[0].Take(); c != nil {
				n += c.Len()
			}
		}
		st.Close()
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkLatency is the time from a COMMIT to the batch with its row.
func BenchmarkLatency(b *testing.B) {
	_, m := benchWorld(b)
	m.open()
	m.live()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		server(b).Exec(b, "INSERT INTO bench.t (a) VALUES (NULL)")
		began := time.Now()
		for n := len(m.rows[1]); len(m.rows[1]) == n; {
			if _, err := m.step(time.Second); err != nil {
				b.Fatal(err)
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

func benchWorld(b *testing.B) (*Upstream, *mirror) {
	s := server(b)
	s.Exec(b, "DROP DATABASE IF EXISTS bench; CREATE DATABASE bench; USE bench; CREATE TABLE t (a INT PRIMARY KEY AUTO_INCREMENT, b BIGINT, c VARCHAR(40), d DECIMAL(12,3), e DATETIME, f INT, g TEXT)")
	m := newMirror(b, specFor(s, "bench"), "bench.t")
	cfg, err := parseOptions(m.spec)
	if err != nil {
		b.Fatal(err)
	}
	u, err := open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { u.Close() })
	return u, m
}
