package datetime

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/sqlerr"
)

func berlin(t testing.TB) *time.Location {
	t.Helper()
	loc, err := LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"2001-02-03 04:05:06.7+05:30", "Feb 3 2001 BC", "1 year 2 mons -3 days 04:05:06.7", "J2451187",
		"P1Y2M3DT4H5M6S", "20010203T040506 America/New_York", "04:05:06 PM", "epoch", "-infinity", "y2001m02d04", "1-2 3 4:05"} {
		f.Add(s, uint8(0))
	}
	f.Fuzz(func(t *testing.T, s string, style uint8) {
		st := &Settings{
			DateStyle:     DateStyle{DateFormat(style & 3), DateOrder(style >> 2 % 3)},
			IntervalStyle: IntervalStyle(style >> 5 & 3), Location: berlin(t), Now: func() int64 { return 7e14 },
		}
		if v, err := ParseDate(s, st); err == nil {
			out := string(AppendDate(nil, v, st))
			// Without ISO the order must fit the format for the text to read back.
			if again, err := ParseDate(out, st); st.DateStyle.Format == ISO && (err != nil || again != v) {
				t.Fatalf("date %q is %d, prints %q, reads %d, %v", s, v, out, again, err)
			}
		}
		if v, err := ParseTimestamp(s, st); err == nil {
			out := string(AppendTimestamp(nil, v, st))
			if again, err := ParseTimestamp(out, st); st.DateStyle.Format == ISO && (err != nil || again != v) {
				t.Fatalf("timestamp %q is %d, prints %q, reads %d, %v", s, v, out, again, err)
			}
		}
		if v, err := ParseTimestamptz(s, st); err == nil {
			out := string(AppendTimestamptz(nil, v, st))
			if again, err := ParseTimestamptz(out, st); st.DateStyle.Format == ISO && IsFiniteTimestamp(v) && v > minTimestamp+MicrosPerDay && (err != nil || again != v) {
				t.Fatalf("timestamptz %q is %d, prints %q, reads %d, %v", s, v, out, again, err)
			}
		}
		if v, err := ParseTimetz(s, st); err == nil {
			out := string(AppendTimetz(nil, v))
			if again, err := ParseTimetz(out, st); err != nil || again != v {
				t.Fatalf("timetz %q is %d, prints %q, reads %d, %v", s, v, out, again, err)
			}
		}
		if v, err := ParseInterval(s, st); err == nil {
			out := string(AppendInterval(nil, v, st))
			if again, err := ParseInterval(out, st); err != nil || again.Cmp(v) != 0 && st.IntervalStyle != StyleSQLStandard {
				t.Fatalf("interval %q is %v, prints %q, reads %v, %v", s, v, out, again, err)
			}
			key := v.AppendKey(nil)
			if back, rest, err := DecodeIntervalKey(key); err != nil || len(rest) != 0 || back.Cmp(v) != 0 || !bytes.Equal(back.AppendKey(nil), key) {
				t.Fatalf("key of %v decodes as %v, %v", v, back, err)
			}
			if back, rest, err := DecodeIntervalImage(v.AppendImage(nil)); err != nil || len(rest) != 0 || back != v {
				t.Fatalf("image of %v decodes as %v, %v", v, back, err)
			}
		}
	})
}

func FuzzTemplates(f *testing.F) {
	f.Add("2001-02-03 04:05", "YYYY-MM-DD HH24:MI", int64(123456789))
	f.Add("5th Dec 2000", "FMDDth Mon YYYY \"x\" FX IW", int64(-1))
	f.Fuzz(func(t *testing.T, text, format string, ts int64) {
		ts %= endTimestamp
		if ts < minTimestamp {
			ts = -ts
		}
		_, _, _ = ToCharTimestamptz(ts, format, time.UTC)
		_, _, _ = ToCharInterval(Interval{int32(ts), int32(ts >> 32), ts}, format)
		_, _ = ToTimestamp(text, format, time.UTC)
		_, _ = ToDate(text, format)
	})
}

func TestTimetzOrder(t *testing.T) {
	st := &Settings{}
	ordered := []string{"00:00+15:59", "10:00+05", "06:00+00", "05:59:59.999999-00:00:01", "06:00-00:30", "24:00-15:59"}
	last := int64(-1 << 63)
	for _, s := range ordered {
		v, err := ParseTimetz(s, st)
		if err != nil || v <= last {
			t.Errorf("%s is %d after %d, %v", s, v, last, err)
		}
		last = v
		micros, west := UnpackTimetz(v)
		if PackTimetz(micros, west) != v {
			t.Errorf("%s does not survive packing", s)
		}
	}
}

func TestEveryDay(t *testing.T) {
	for d := minDate; d < 4000000; d += 13 {
		y, m, day := CivilFromDays(d)
		if back := DaysFromCivil(y, m, day); back != d || m < 1 || m > 12 || day < 1 || day > daysInMonth(y, m) {
			t.Fatalf("day %d is %d-%d-%d, which is day %d", d, y, m, day, back)
		}
	}
}

func TestReservedWords(t *testing.T) {
	now := int64(700000000) * MicrosPerSecond // 2022-03-07 20:26:40 UTC
	st := &Settings{Location: berlin(t), Now: func() int64 { return now }}
	for text, want := range map[string]string{
		"now": "2022-03-07 21:26:40+01", "today": "2022-03-07 00:00:00+01", "tomorrow 10:00": "2022-03-08 10:00:00+01",
		"yesterday": "2022-03-06 00:00:00+01", "today allballs": "2022-03-07 01:00:00+01",
	} {
		v, err := ParseTimestamptz(text, st)
		if got := string(AppendTimestamptz(nil, v, st)); got != want || err != nil {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestZoneNames(t *testing.T) {
	for _, name := range ZoneNames() {
		if _, found := findZone(name); !found {
			t.Errorf("zone %s is not in the embedded database", name)
		}
	}
	for name, a := range zoneAbbrevs {
		if _, found := findZone(a.zone); a.zone != "" && !found {
			t.Errorf("abbreviation %s names the unknown zone %s", name, a.zone)
		}
	}
}

func TestSettingValues(t *testing.T) {
	cases := []struct{ in, want string }{
		{"german", "German, DMY"}, {"sql", "SQL, YMD"}, {"european", "ISO, DMY"}, {"postgres,us", "Postgres, MDY"},
		{"iso, default", "ISO, MDY"}, {"foo", `!invalid value for parameter "DateStyle": "foo" (Unrecognized key word: "foo".)`},
		{"iso, sql", `!invalid value for parameter "DateStyle": "iso, sql" (Conflicting "datestyle" specifications.)`},
	}
	for _, c := range cases {
		d, err := ParseDateStyle(c.in, DateStyle{Order: YMD})
		got := d.String()
		var e *sqlerr.Error
		if errors.As(err, &e) {
			got = "!" + e.Message + " (" + e.Detail + ")"
		}
		if got != c.want {
			t.Errorf("DateStyle %s: %s, want %s", c.in, got, c.want)
		}
	}
	for in, want := range map[string]string{"-7.5": "<-07:30>+07:30", "america/new_york": "America/New_York", "utc": "UTC", "foo5": "FOO5", "+5": "<+05>-05"} {
		loc, err := LoadLocation(in)
		if err != nil || LocationName(loc) != want {
			t.Errorf("TimeZone %s: %v, %v; want %s", in, loc, err, want)
		}
	}
	if _, err := LoadLocation("foo/bar"); err == nil {
		t.Error("TimeZone foo/bar passed")
	}
}

func TestOverlaps(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	cases := []struct {
		s1, e1, s2, e2 *int64
		want           string
	}{
		{n(1), n(5), n(3), n(8), "t"}, {n(1), n(3), n(3), n(8), "f"}, {n(5), n(1), n(2), n(2), "t"}, {n(3), n(3), n(3), n(3), "t"},
		{n(1), nil, n(3), n(8), "NULL"}, {n(3), n(8), n(1), nil, "NULL"}, {n(1), n(5), n(3), nil, "t"}, {nil, nil, n(1), n(2), "NULL"},
		{n(3), nil, n(3), n(4), "NULL"},
	}
	for i, c := range cases {
		got := "f"
		if v, ok := OverlapsInts(c.s1, c.e1, c.s2, c.e2); !ok {
			got = "NULL"
		} else if v {
			got = "t"
		}
		if got != c.want {
			t.Errorf("case %d: %s, want %s", i, got, c.want)
		}
	}
}

func BenchmarkParseTimestamp(b *testing.B) {
	st := &Settings{}
	b.ReportAllocs()
	for range b.N {
		if _, err := ParseTimestamp("2015-07-15 01:02:03.456", st); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendTimestamp(b *testing.B) {
	st := &Settings{}
	var buf [64]byte
	b.ReportAllocs()
	for i := range b.N {
		AppendTimestamp(buf[:0], 490237323456000+int64(i)*1000, st)
	}
}

func BenchmarkAppendTimestamptzBerlin(b *testing.B) {
	st := &Settings{Location: berlin(b)}
	var buf [64]byte
	b.ReportAllocs()
	for i := range b.N {
		AppendTimestamptz(buf[:0], 490237323456000+int64(i)*1000, st)
	}
}

func BenchmarkAddInterval(b *testing.B) {
	iv := Interval{Micros: -4 * MicrosPerSecond}
	for i := range b.N {
		_, _ = AddInterval(490237323456000+int64(i), iv)
	}
}
