package datetime

import (
	"bufio"
	"cmp"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
)

// testdata/pg15.tsv was recorded from PostgreSQL 15.20 (initdb --locale=C -E UTF8). Its lines are operation, settings (DateStyle|IntervalStyle|TimeZone), arguments and what
// PostgreSQL 15 answered: "=text", NULL, or "!SQLSTATE message [DETAIL detail] [HINT hint]".
func TestAgainstPostgres(t *testing.T) { compareWithFile(t, "testdata/pg15.tsv") }

// Likewise for to_char, to_timestamp and to_date.
func TestTemplatesAgainstPostgres(t *testing.T) { compareWithFile(t, "testdata/pg15_templates.tsv") }

func compareWithFile(t *testing.T, name string) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unescape := strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n")
	bad := map[string]int{}
	sc := bufio.NewScanner(f)
	for line := 1; sc.Scan(); line++ {
		cols := strings.Split(sc.Text(), "\t")
		for i := range cols {
			cols[i] = unescape.Replace(cols[i])
		}
		op, args, want := cols[0], cols[2:len(cols)-1], cols[len(cols)-1]
		if got := answer(op, settings(t, cols[1]), args); got != want {
			if bad[op]++; bad[op] <= 6 {
				t.Errorf("line %d: %s [%s] %q\n got %s\nwant %s", line, op, cols[1], args, got, want)
			}
		}
	}
	for op, n := range bad {
		t.Logf("%s: %d wrong", op, n)
	}
}

func settings(t *testing.T, s string) *Settings {
	parts := strings.Split(s, "|")
	ds, err := ParseDateStyle(parts[0], DateStyle{})
	if err != nil {
		t.Fatal(err)
	}
	is, err := ParseIntervalStyle(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	loc, err := LoadLocation(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	return &Settings{DateStyle: ds, IntervalStyle: is, Location: loc, Now: func() int64 { return 7e14 }}
}

var errNull = errors.New("null")

func answer(op string, st *Settings, args []string) string {
	text, err := apply(op, st, args)
	if err == errNull {
		return "NULL"
	}
	var e *sqlerr.Error
	if errors.As(err, &e) {
		s := "!" + string(e.Code) + " " + e.Message
		if e.Detail != "" {
			s += " DETAIL " + e.Detail
		}
		if e.Hint != "" {
			s += " HINT " + e.Hint
		}
		return s
	}
	if err != nil {
		return "?" + err.Error()
	}
	return "=" + text
}

// run reads the arguments as their types and prints the result.
type run struct {
	st   *Settings
	args []string
	err  error
}

func keep[T any](r *run, v T, err error) T {
	if r.err == nil {
		r.err = err
	}
	return v
}

func (r *run) ts(i int) int64     { v, err := ParseTimestamp(r.args[i], r.st); return keep(r, v, err) }
func (r *run) tz(i int) int64     { v, err := ParseTimestamptz(r.args[i], r.st); return keep(r, v, err) }
func (r *run) date(i int) int64   { v, err := ParseDate(r.args[i], r.st); return keep(r, v, err) }
func (r *run) time(i int) int64   { v, err := ParseTime(r.args[i], r.st); return keep(r, v, err) }
func (r *run) timetz(i int) int64 { v, err := ParseTimetz(r.args[i], r.st); return keep(r, v, err) }
func (r *run) iv(i int) Interval  { v, err := ParseInterval(r.args[i], r.st); return keep(r, v, err) }
func (r *run) int(i int) int64    { v, err := strconv.ParseInt(r.args[i], 10, 64); return keep(r, v, err) }
func (r *run) i32(i int) int32    { return int32(r.int(i)) }
func (r *run) float(i int) float64 {
	v, err := strconv.ParseFloat(r.args[i], 64)
	return keep(r, v, err)
}

func (r *run) showTS(v int64, err error) string {
	keep(r, v, err)
	return string(AppendTimestamp(nil, v, r.st))
}

func (r *run) showTZ(v int64, err error) string {
	keep(r, v, err)
	return string(AppendTimestamptz(nil, v, r.st))
}

func (r *run) showDate(v int64, err error) string {
	keep(r, v, err)
	return string(AppendDate(nil, v, r.st))
}

func (r *run) showTime(v int64, err error) string {
	keep(r, v, err)
	return string(AppendTime(nil, v))
}

func (r *run) showIV(v Interval, err error) string {
	keep(r, v, err)
	return string(AppendInterval(nil, v, r.st))
}

func (r *run) showDec(v numeric.Dec, ok bool, err error) string {
	if keep(r, v, err); !ok {
		keep(r, v, errNull)
	}
	return v.String()
}

func (r *run) showText(s string, ok bool, err error) string {
	if keep(r, s, err); !ok {
		keep(r, s, errNull)
	}
	return s
}

func found(v int64, ok bool) (int64, error) {
	if !ok {
		return 0, errNull
	}
	return v, nil
}

// typmods are the modifiers of interval by their declaration.
var typmods = map[string]int32{
	"year": rangeYear, "month": rangeMonth, "day": rangeDay, "hour": rangeHour, "minute": rangeMinute, "second": rangeSecond,
	"year to month": rangeYear | rangeMonth, "day to hour": rangeDay | rangeHour, "day to minute": rangeDay | rangeHour | rangeMinute,
	"day to second": rangeDay | rangeHour | rangeMinute | rangeSecond, "hour to minute": rangeHour | rangeMinute,
	"hour to second": rangeHour | rangeMinute | rangeSecond, "minute to second": rangeMinute | rangeSecond,
}

func typmod(s string) int32 {
	precision := int32(fullPrecision)
	if i := strings.IndexByte(s, '('); i >= 0 {
		precision = int32(s[i+1] - '0')
		s = s[:i]
	}
	return typmods[s]<<16 | precision
}

func apply(op string, st *Settings, args []string) (string, error) {
	r := &run{st: st, args: args}
	f := operations[op]
	if f == nil {
		return "", errors.New("unknown operation")
	}
	text := f(r)
	return text, r.err
}

var operations = map[string]func(r *run) string{
	"date":           func(r *run) string { return r.showDate(r.date(0), nil) },
	"timestamp":      func(r *run) string { return r.showTS(r.ts(0), nil) },
	"timestamptz":    func(r *run) string { return r.showTZ(r.tz(0), nil) },
	"interval":       func(r *run) string { return r.showIV(r.iv(0), nil) },
	"time":           func(r *run) string { return r.showTime(r.time(0), nil) },
	"timetz":         func(r *run) string { return string(AppendTimetz(nil, r.timetz(0))) },
	"extract_ts":     func(r *run) string { return r.showDec(ExtractTimestamp(r.args[0], r.ts(1))) },
	"extract_tz":     func(r *run) string { return r.showDec(ExtractTimestamptz(r.args[0], r.tz(1), r.st.Location)) },
	"extract_date":   func(r *run) string { return r.showDec(ExtractDate(r.args[0], r.date(1))) },
	"extract_time":   func(r *run) string { return r.showDec(ExtractTime(r.args[0], r.time(1))) },
	"extract_timetz": func(r *run) string { return r.showDec(ExtractTimetz(r.args[0], r.timetz(1))) },
	"extract_iv":     func(r *run) string { return r.showDec(ExtractInterval(r.args[0], r.iv(1))) },
	"datepart_ts": func(r *run) string {
		f, ok, err := DatePartTimestamp(r.args[0], r.ts(1))
		if keep(r, f, err); !ok {
			keep(r, f, errNull)
		}
		return strings.Replace(strings.TrimPrefix(strconv.FormatFloat(f, 'f', -1, 64), "+"), "Inf", "Infinity", 1)
	},
	"trunc_ts":  func(r *run) string { return r.showTS(TruncTimestamp(r.args[0], r.ts(1))) },
	"trunc_tz":  func(r *run) string { return r.showTZ(TruncTimestamptz(r.args[0], r.tz(1), r.st.Location)) },
	"trunc_iv":  func(r *run) string { return r.showIV(TruncInterval(r.args[0], r.iv(1))) },
	"add_ts":    func(r *run) string { return r.showTS(AddInterval(r.ts(0), r.iv(1))) },
	"sub_ts":    func(r *run) string { return r.showTS(SubInterval(r.ts(0), r.iv(1))) },
	"add_tz":    func(r *run) string { return r.showTZ(AddIntervalTz(r.tz(0), r.iv(1), r.st.Location)) },
	"sub_tz":    func(r *run) string { return r.showTZ(SubIntervalTz(r.tz(0), r.iv(1), r.st.Location)) },
	"minus_tz":  func(r *run) string { return r.showIV(SubTimestamps(r.tz(0), r.tz(1))) },
	"age_ts":    func(r *run) string { return r.showIV(Age(r.ts(0), r.ts(1))) },
	"age_tz":    func(r *run) string { return r.showIV(AgeTz(r.tz(0), r.tz(1), r.st.Location)) },
	"cmp_ts_tz": func(r *run) string { return strconv.Itoa(CompareTimestampTimestamptz(r.ts(0), r.tz(1), r.st.Location)) },
	"ts_zone":   func(r *run) string { return r.showTZ(TimestampAtZone(r.ts(0), r.args[1])) },
	"tz_zone":   func(r *run) string { return r.showTS(TimestamptzAtZone(r.tz(0), r.args[1])) },
	"ts_date":   func(r *run) string { return r.showDate(TimestampToDate(r.ts(0)), nil) },
	"tz_date":   func(r *run) string { return r.showDate(TimestamptzToDate(r.tz(0), r.st.Location), nil) },
	"ts_time":   func(r *run) string { return r.showTime(found(TimestampToTime(r.ts(0)))) },
	"tz_time":   func(r *run) string { return r.showTime(found(TimestamptzToTime(r.tz(0), r.st.Location))) },
	"tz_timetz": func(r *run) string {
		v, err := found(TimestamptzToTimetz(r.tz(0), r.st.Location))
		return string(AppendTimetz(nil, keep(r, v, err)))
	},
	"ts_tz":    func(r *run) string { return r.showTZ(TimestampToTimestamptz(r.ts(0), r.st.Location)) },
	"tz_ts":    func(r *run) string { return r.showTS(TimestamptzToTimestamp(r.tz(0), r.st.Location)) },
	"round_ts": func(r *run) string { return r.showTS(RoundTimestamp(r.ts(0), r.i32(1))) },
	"date_ts":  func(r *run) string { return r.showTS(DateToTimestamp(r.date(0))) },
	"date_tz":  func(r *run) string { return r.showTZ(DateToTimestamptz(r.date(0), r.st.Location)) },
	"date_add": func(r *run) string { return r.showDate(AddDays(r.date(0), r.int(1))) },
	"date_sub": func(r *run) string {
		v, err := SubDates(r.date(0), r.date(1))
		return strconv.FormatInt(keep(r, v, err), 10)
	},
	"date_time": func(r *run) string { return r.showTS(DateAddTime(r.date(0), r.time(1))) },
	"mul":       func(r *run) string { return r.showIV(r.iv(0).Mul(r.float(1))) },
	"idiv":      func(r *run) string { return r.showIV(r.iv(0).Div(r.float(1))) },
	"neg":       func(r *run) string { return r.showIV(r.iv(0).Neg()) },
	"jh":        func(r *run) string { return r.showIV(r.iv(0).JustifyHours()) },
	"jd":        func(r *run) string { return r.showIV(r.iv(0).JustifyDays()) },
	"ji":        func(r *run) string { return r.showIV(r.iv(0).Justify()) },
	"iv_time":   func(r *run) string { return r.showTime(IntervalToTime(r.iv(0)), nil) },
	"iv_add":    func(r *run) string { return r.showIV(r.iv(0).Add(r.iv(1))) },
	"iv_sub":    func(r *run) string { return r.showIV(r.iv(0).Sub(r.iv(1))) },
	"iv_cmp": func(r *run) string {
		a, b := r.iv(0), r.iv(1)
		if c := cmp.Compare(string(a.AppendKey(nil)), string(b.AppendKey(nil))); c != a.Cmp(b) {
			return "keys disagree"
		}
		return strconv.Itoa(a.Cmp(b))
	},
	"time_add":  func(r *run) string { return r.showTime(TimeAddInterval(r.time(0), r.iv(1)), nil) },
	"time_sub":  func(r *run) string { return r.showTime(TimeSubInterval(r.time(0), r.iv(1)), nil) },
	"iv_typmod": func(r *run) string { return r.showIV(r.iv(0).ApplyTypmod(typmod(r.args[1]))) },
	"iv_lit": func(r *run) string {
		iv, err := ParseIntervalTypmod(r.args[0], r.st, typmod(r.args[1]))
		return r.showIV(keep(r, iv, err).ApplyTypmod(typmod(r.args[1])))
	},
	"bin":       func(r *run) string { return r.showTS(Bin(r.iv(0), r.ts(1), r.ts(2))) },
	"make_date": func(r *run) string { return r.showDate(MakeDate(r.i32(0), r.i32(1), r.i32(2))) },
	"make_time": func(r *run) string { return r.showTime(MakeTime(r.i32(0), r.i32(1), r.float(2))) },
	"make_ts": func(r *run) string {
		return r.showTS(MakeTimestamp(r.i32(0), r.i32(1), r.i32(2), r.i32(3), r.i32(4), r.float(5)))
	},
	"make_tz": func(r *run) string {
		return r.showTZ(MakeTimestamptzAt(r.i32(0), r.i32(1), r.i32(2), r.i32(3), r.i32(4), r.float(5), r.args[6]))
	},
	"make_iv": func(r *run) string {
		return r.showIV(MakeInterval(r.i32(0), r.i32(1), r.i32(2), r.i32(3), r.i32(4), r.i32(5), r.float(6)))
	},
	"to_char":      func(r *run) string { return r.showText(ToCharTimestamp(r.ts(0), r.args[1])) },
	"to_char_tz":   func(r *run) string { return r.showText(ToCharTimestamptz(r.tz(0), r.args[1], r.st.Location)) },
	"to_char_iv":   func(r *run) string { return r.showText(ToCharInterval(r.iv(0), r.args[1])) },
	"to_timestamp": func(r *run) string { return r.showTZ(ToTimestamp(r.args[0], r.args[1], r.st.Location)) },
	"to_date":      func(r *run) string { return r.showDate(ToDate(r.args[0], r.args[1])) },
	"epoch":        func(r *run) string { return r.showTZ(FromEpoch(r.float(0))) },
}
