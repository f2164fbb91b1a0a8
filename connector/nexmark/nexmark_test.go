package nexmark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

func spec(options map[string]string, cols ...int) *connector.SourceSpec {
	return &connector.SourceSpec{
		Name: "n", Connector: catalog.Connector{Name: "nexmark", Options: options}, Cols: cols, Settings: sqlio.DefaultSettings(),
	}
}

// readAll reads a bounded stream to its end through the given number of readers.
func readAll(t *testing.T, s *connector.SourceSpec, readers int) []*delta.Chunk {
	t.Helper()
	ctx := context.Background()
	splits, err := Source{}.Splits(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	var out []*delta.Chunk
	for r := range readers {
		var mine []connector.SplitOffset
		for i := r; i < len(splits); i += readers {
			mine = append(mine, connector.SplitOffset{Split: splits[i]})
		}
		reader, err := Source{}.Open(ctx, s, mine)
		if err != nil {
			t.Fatal(err)
		}
		for {
			b, err := reader.Next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, b.Chunk)
		}
		reader.Close()
	}
	return out
}

func rowsOf(chunks []*delta.Chunk) []string {
	var out []string
	for _, c := range chunks {
		for i := range c.Rows {
			var sb strings.Builder
			for _, v := range c.Cols {
				switch {
				case v.IsNull(i):
					sb.WriteString("∅|")
				case v.Type.Phys() == sqltypes.PhysBytes:
					sb.Write(v.Bytes(i))
					sb.WriteByte('|')
				default:
					fmt.Fprintf(&sb, "%d|", v.Ints[i])
				}
			}
			out = append(out, sb.String())
		}
	}
	slices.Sort(out)
	return out
}

func TestContract(t *testing.T) {
	conntest.Source(t, conntest.SourceCase{Source: Source{}, Rows: 20_000, Spec: spec(map[string]string{"nexmark.event.num": "20000", "nexmark.split.num": "3"})})
	conntest.Source(t, conntest.SourceCase{Source: Source{}, Rows: 400, Spec: spec(map[string]string{"nexmark.event.num": "20000", "nexmark.table.type": "Person"})})
}

// TestPacing: an endless stream is held back by the clock, and a reader of it can be stopped.
func TestPacing(t *testing.T) {
	r, err := Source{}.Open(context.Background(), spec(map[string]string{"nexmark.rows.per.second": "1000", "nexmark.split.num": "1"}, 0), []connector.SplitOffset{{Split: "0/1"}})
	if err != nil {
		t.Fatal(err)
	}
	start, rows := time.Now(), 0
	for rows < 100 {
		b, err := r.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		rows += b.Chunk.Rows
	}
	if took := time.Since(start); took < 90*time.Millisecond {
		t.Errorf("%d events at 1,000 a second took %v", rows, took)
	}
	r.Close()
	if _, err := r.Next(context.Background()); err == nil {
		t.Error("a closed reader goes on")
	}
}

func TestSameEventsAtAnyParallelism(t *testing.T) {
	for _, table := range []string{"", "Person", "Auction", "Bid"} {
		t.Run("table "+table, func(t *testing.T) {
			options := map[string]string{"nexmark.event.num": "12345", "nexmark.seed": "7", "nexmark.out.of.order.group.size": "4"}
			cols := upTo(26)
			if table != "" {
				options["nexmark.table.type"] = table
				cols = upTo(7)
			}
			var want []string
			for _, p := range []string{"1", "3", "8"} {
				options["nexmark.split.num"] = p
				got := rowsOf(readAll(t, spec(options, cols...), 2))
				if want == nil {
					want = got
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s splits give other rows than one", p)
				}
			}
		})
	}
}

// TestClosedForms checks what the benchmark's specification fixes for every seed.
func TestClosedForms(t *testing.T) {
	const n = 100_000
	chunks := readAll(t, spec(map[string]string{"nexmark.event.num": fmt.Sprint(n), "nexmark.event.rate": "1000000"}, upTo(26)...), 1)
	var counts [3]int
	var hotAuctions, hotBidders, westerners, category10, cheap, middle, dear, mod123, farBids int
	var nextPerson, nextAuction int64 = 1000, 1000
	for _, c := range chunks {
		for i := range c.Rows {
			at := func(f field) int64 { return c.Cols[int(f)+1].Ints[i] }
			text := func(f field) string { return string(c.Cols[int(f)+1].Bytes(i)) }
			k := kind(c.Cols[0].Ints[i])
			counts[k]++
			for f := range fieldCount {
				if c.Cols[int(f)+1].IsNull(i) != (fields[f].kind != k) {
					t.Fatalf("%s of a %s: NULL = %v", columnName(all, f), kindNames[k], fields[f].kind == k)
				}
			}
			switch k {
			case person:
				if at(personID) != nextPerson {
					t.Fatalf("person %d, want %d", at(personID), nextPerson)
				}
				nextPerson++
				if s := text(personState); s == "OR" || s == "ID" || s == "CA" {
					westerners++
				}
				if len(text(personCard)) != 19 || !strings.Contains(text(personEmail), "@") {
					t.Fatalf("person's card %q, address %q", text(personCard), text(personEmail))
				}
			case auction:
				if at(auctionID) != nextAuction {
					t.Fatalf("auction %d, want %d", at(auctionID), nextAuction)
				}
				nextAuction++
				if s := at(auctionSeller); s < 1000 || s > 1000+n/50+9 {
					t.Fatalf("seller %d", s)
				}
				if c := at(auctionCategory); c < 10 || c > 14 {
					t.Fatalf("category %d", c)
				} else if c == 10 {
					category10++
				}
				if at(auctionExpires) <= at(auctionTime) || at(auctionReserve) <= at(auctionInitialBid) {
					t.Fatal("auction ends before it starts, or its reserve is no more than its first bid")
				}
			case bid:
				if at(bidAuction)%hotBatch == 0 {
					hotAuctions++
				} else if at(bidAuction)%123 == 0 {
					mod123++
				}
				if at(bidBidder)%hotBatch == 1 {
					hotBidders++
				}
				if at(bidAuction) > nextAuction+auctionLead {
					farBids++
				}
				switch p := at(bidPrice); {
				case p < 100 || p > 100_000_000:
					t.Fatalf("price %d", p)
				case p < 10_000:
					cheap++
				case p < 1_000_000:
					middle++
				default:
					dear++
				}
				if e := len(text(bidExtra)); e < 54 || e > 82 {
					t.Fatalf("bid's filler has %d bytes", e)
				}
			}
		}
	}
	if counts != [3]int{n / 50, 3 * n / 50, 46 * n / 50} || farBids > 0 {
		t.Errorf("events by kind: %v, %d bids too far ahead", counts, farBids)
	}
	bids := float64(46 * n / 50)
	for _, c := range []struct {
		name string
		got  int
		of   float64
		want float64
		tol  float64
	}{
		{"bids on hot auctions", hotAuctions, bids, 0.5 + 0.5/100, 0.01},
		{"bids by hot bidders", hotBidders, bids, 0.75 + 0.25/100, 0.01},
		{"cheap bids", cheap, bids, 1.0 / 3, 0.01},
		{"middle bids", middle, bids, 1.0 / 3, 0.01},
		{"dear bids", dear, bids, 1.0 / 3, 0.01},
		{"other bids on multiples of 123", mod123, bids / 2, 1.0 / 123, 0.001},
		{"persons of three states", westerners, n / 50, 0.5, 0.05},
		{"auctions of category 10", category10, 3 * n / 50, 0.2, 0.02},
	} {
		if got := float64(c.got) / c.of; math.Abs(got-c.want) > c.tol {
			t.Errorf("%s: share %.4f, want %.4f ± %.3f", c.name, got, c.want, c.tol)
		}
	}
}

func TestEventTime(t *testing.T) {
	chunks := readAll(t, spec(map[string]string{"nexmark.event.num": "10000", "nexmark.event.rate": "100", "nexmark.table.type": "Bid", "nexmark.split.num": "1"}, 5), 1)
	var last int64
	for _, c := range chunks {
		for _, ts := range c.Cols[0].Ints {
			if ts < last {
				t.Fatal("event time goes back")
			}
			last = ts
		}
	}
	// 2015-07-15 plus 9,999 times 10 ms, in µs since 2000
	if want := int64(baseMillis2000+99_990) * 1000; last != want {
		t.Errorf("last bid at %d, want %d", last, want)
	}
}

// TestSkippingChangesNothing compares a narrow read without generating the rest with a wide one.
func TestSkippingChangesNothing(t *testing.T) {
	options := map[string]string{"nexmark.event.num": "5000", "nexmark.table.type": "Bid"}
	wide := readAll(t, spec(options, upTo(7)...), 1)
	options["nexmark.generate.all"] = "false"
	for _, col := range upTo(7) {
		narrow := readAll(t, spec(options, col), 1)
		for i, c := range narrow {
			if !slices.Equal(rowsOf([]*delta.Chunk{c}), rowsOf([]*delta.Chunk{wide[i].WithCols(wide[i].Cols[col : col+1])})) {
				t.Fatalf("column %d differs when the others are skipped", col)
			}
		}
	}
}

func TestRecycledMemory(t *testing.T) {
	s := spec(map[string]string{"nexmark.event.num": "50000"}, upTo(26)...)
	want := rowsOf(readAll(t, s, 1))
	splits, _ := Source{}.Splits(context.Background(), s)
	var offsets []connector.SplitOffset
	for _, name := range splits {
		offsets = append(offsets, connector.SplitOffset{Split: name})
	}
	r, err := Source{}.Open(context.Background(), s, offsets)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	for {
		b, err := r.Next(context.Background())
		if err != nil {
			break
		}
		got = append(got, rowsOf([]*delta.Chunk{b.Chunk})...)
		r.(connector.Recycler).Recycle(b)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Error("rows in recycled memory differ")
	}
}

// TestGolden pins the sequence: persisted offsets mean nothing if it changes.
func TestGolden(t *testing.T) {
	got := rowsOf(readAll(t, spec(map[string]string{"nexmark.event.num": "5", "nexmark.table.type": "Bid"}, 0, 1, 2, 3, 5), 1))
	want := []string{"1003|1001|1695|channel-8573|490233600000000|"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestFacts(t *testing.T) {
	f, err := Source{}.Validate(context.Background(), spec(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !f.AppendOnly || len(f.Columns) != 26 || len(f.Variants) != 3 || f.Columns[1].Name != "person_id" || f.Columns[19].Name != "bid_auction" {
		t.Errorf("facts of the combined stream: %+v", f)
	}
	if v := f.Variants[1]; v.Value != 1 || len(v.UniqueKeys) != 1 || f.Columns[v.UniqueKeys[0][0]].Name != "auction_id" || len(v.NotNull) != 10 {
		t.Errorf("facts of auctions: %+v", v)
	}
	f, err = Source{}.Validate(context.Background(), spec(map[string]string{"nexmark.table.type": "Person"}))
	if err != nil || len(f.UniqueKeys) != 1 || f.UniqueKeys[0][0] != 0 || f.Columns[6].Type != sqltypes.Timestamp {
		t.Errorf("facts of persons: %+v, %v", f, err)
	}
}

func TestMistakes(t *testing.T) {
	cases := []struct {
		name    string
		options map[string]string
		cols    []catalog.Column
		code    sqlerr.Code
		text    string
	}{
		{"option", map[string]string{"nexmark.table.typ": "Bid"}, nil, sqlerr.InvalidParameterValue, `no option "nexmark.table.typ"`},
		{"table", map[string]string{"nexmark.table.type": "Bids"}, nil, sqlerr.InvalidParameterValue, "must be one of Person, Auction, Bid"},
		{"group", map[string]string{"nexmark.out.of.order.group.size": "1906"}, nil, sqlerr.InvalidParameterValue, "multiple of 953"},
		{"column", map[string]string{"nexmark.table.type": "Bid"}, []catalog.Column{{Name: "prize", Type: sqltypes.Int8}}, sqlerr.UndefinedColumn, `"prize" does not exist`},
		{"type", map[string]string{"nexmark.table.type": "Bid"}, []catalog.Column{{Name: "price", Type: sqltypes.Text}}, sqlerr.DatatypeMismatch, "has type bigint, not text"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := spec(c.options)
			s.Columns = c.cols
			_, err := Source{}.Validate(context.Background(), s)
			if sqlerr.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Validate: %v", err)
			}
		})
	}
}
