package binlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/internal/jsonb"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// event writes an event as a server does; sum adds the checksum.
func event(kind Type, flags uint16, logPos uint32, body []byte, sum bool) []byte {
	b := make([]byte, headerSize, headerSize+len(body)+4)
	b[4] = byte(kind)
	binary.LittleEndian.PutUint32(b[5:], 1)
	n := headerSize + len(body)
	if sum {
		n += 4
	}
	binary.LittleEndian.PutUint32(b[9:], uint32(n))
	binary.LittleEndian.PutUint32(b[13:], logPos)
	binary.LittleEndian.PutUint16(b[17:], flags)
	b = append(b, body...)
	if sum {
		b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	}
	return b
}

// formatBody is a format description whose events have checksums.
func formatBody() []byte {
	b := []byte{4, 0}
	b = append(b, make([]byte, 50+4)...)
	b = append(b, headerSize)
	b = append(b, make([]byte, 40)...)
	return append(b, 1)
}

func TestChecksums(t *testing.T) {
	d := NewDecoder(false, true)
	raw := event(TypeFormat, 0, 100, formatBody(), true)
	raw[17] |= FlagInUse // set after the checksum was made
	if _, err := d.Decode(raw); err != nil {
		t.Fatalf("format description of the open file: %v", err)
	}
	good := event(TypeXID, 0, 200, make([]byte, 8), true)
	if e, err := d.Decode(good); err != nil || len(e.Body) != 8 {
		t.Fatalf("%v, %v", e, err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if _, err := d.Decode(bad); err == nil {
			t.Errorf("byte %d is damaged, and nobody noticed", i)
		}
	}
	raw[60] ^= 1
	if _, err := d.Decode(raw); err == nil {
		t.Error("a damaged format description went through")
	}
}

func TestDecimal(t *testing.T) {
	for _, c := range []struct {
		precision, scale int
		bytes, want      string
	}{
		{14, 4, "810dfb38d204d2", "1234567890.1234"}, // the example of MySQL's source
		{14, 4, "7ef204c72dfb2d", "-1234567890.1234"},
		{10, 2, "8000000000", "0.00"},
		{10, 2, "80000001 00", "1.00"},
		{3, 3, "7f84", "-0.123"},
	} {
		got, err := Decimal(unhex(t, c.bytes), c.precision, c.scale)
		if err != nil || got.String() != c.want {
			t.Errorf("decimal(%d,%d) %s: got %v (%v), want %s", c.precision, c.scale, c.bytes, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "80", "ffffffffff"} {
		if _, err := Decimal(unhex(t, bad), 10, 2); err == nil {
			t.Errorf("%q is a decimal", bad)
		}
	}
}

func TestTimes(t *testing.T) {
	packed := uint64((2024*13+2)<<22|29<<17|23<<12|59<<6|58) | 1<<39
	if m, err := Datetime(append(binary.BigEndian.AppendUint64(nil, packed)[3:], 0x04, 0xd2), 4); err != nil || m != (Moment{2024, 2, 29, 23, 59, 58, 123400}) {
		t.Errorf("%+v, %v", m, err)
	}
	// A negative TIME is stored as its distance from the bottom, fraction included.
	for _, c := range []struct {
		bytes  string
		digits int
		want   Span
	}{
		{"800000", 0, 0}, {"80c000", 0, 12 * 3600e6}, {"7fffff", 0, -1e6},
		{"7fffffffffff", 6, -1}, {"800000000001", 6, 1}, {"7fffffff", 2, -10000},
	} {
		got, err := Time(unhex(t, c.bytes), c.digits)
		if err != nil || got != c.want {
			t.Errorf("time(%d) %s: got %d (%v), want %d", c.digits, c.bytes, got, err, c.want)
		}
	}
	if s, err := OldTime(unhex(t, "40e201")); err != nil || s != (12*3600+34*60+56)*1e6 {
		t.Errorf("%d, %v", s, err)
	}
	if m, err := OldDatetime(binary.LittleEndian.AppendUint64(nil, 20240229235958)); err != nil || m != (Moment{2024, 2, 29, 23, 59, 58, 0}) {
		t.Errorf("%+v, %v", m, err)
	}
}

// jsonDoc writes MySQL's binary JSON, after the description in its source; large uses offsets of four bytes.
type jsonDoc struct{ large bool }

func (j jsonDoc) value(v any) (kind byte, data []byte) {
	switch v := v.(type) {
	case nil:
		return 4, []byte{0}
	case bool:
		if v {
			return 4, []byte{1}
		}
		return 4, []byte{2}
	case int16:
		return 5, binary.LittleEndian.AppendUint16(nil, uint16(v))
	case uint16:
		return 6, binary.LittleEndian.AppendUint16(nil, v)
	case int32:
		return 7, binary.LittleEndian.AppendUint32(nil, uint32(v))
	case uint32:
		return 8, binary.LittleEndian.AppendUint32(nil, v)
	case int64:
		return 9, binary.LittleEndian.AppendUint64(nil, uint64(v))
	case uint64:
		return 10, binary.LittleEndian.AppendUint64(nil, v)
	case rawDouble:
		return 11, binary.LittleEndian.AppendUint64(nil, uint64(v))
	case string:
		return 12, append(binary.AppendUvarint(nil, uint64(len(v))), v...)
	case opaque:
		return 15, append(binary.AppendUvarint([]byte{v.kind}, uint64(len(v.data))), v.data...)
	case []any:
		return j.container(nil, v)
	case object:
		return j.container(v.keys, v.values)
	}
	panic("no such value")
}

type (
	rawDouble uint64
	opaque    struct {
		kind byte
		data []byte
	}
	object struct {
		keys   []string
		values []any
	}
)

func (j jsonDoc) container(keys []string, values []any) (byte, []byte) {
	width := 2
	if j.large {
		width = 4
	}
	number := func(b []byte, n int) []byte {
		if j.large {
			return binary.LittleEndian.AppendUint32(b, uint32(n))
		}
		return binary.LittleEndian.AppendUint16(b, uint16(n))
	}
	head := 2*width + len(keys)*(width+2) + len(values)*(1+width)
	var tail, table []byte
	for _, k := range keys {
		table = binary.LittleEndian.AppendUint16(number(table, head+len(tail)), uint16(len(k)))
		tail = append(tail, k...)
	}
	for _, v := range values {
		kind, data := j.value(v)
		table = append(table, kind)
		if inline := kind >= 4 && kind <= 6 || j.large && (kind == 7 || kind == 8); inline {
			table = append(table, data...)
			table = append(table, make([]byte, width-len(data))...)
			continue
		}
		table = number(table, head+len(tail))
		tail = append(tail, data...)
	}
	out := append(number(number(nil, len(values)), head+len(tail)), append(table, tail...)...)
	kind := byte(0)
	if keys == nil {
		kind = 2
	}
	if j.large {
		kind++
	}
	return kind, out
}

func (j jsonDoc) encode(v any) []byte {
	kind, data := j.value(v)
	return append([]byte{kind}, data...)
}

var packedDate = func(y, m, d, h, mi, s, us int64) []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(((((y*13+m)<<5|d)<<17|h<<12|mi<<6|s)<<24)|us))
}

func TestJSON(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "null"}, {true, "true"}, {false, "false"}, {int16(-5), "-5"}, {uint16(65535), "65535"}, {int32(-70000), "-70000"}, {uint32(4294967295), "4294967295"},
		{int64(-1 << 63), "-9223372036854775808"}, {uint64(1<<64 - 1), "18446744073709551615"}, {rawDouble(0x3ff0000000000000), "1.0"},
		{rawDouble(0x3fb999999999999a), "0.1"}, {rawDouble(0x4415af1d78b58c40), "100000000000000000000"},
		{"größe", `"größe"`}, {strings.Repeat("x", 300), `"` + strings.Repeat("x", 300) + `"`},
		{[]any{}, "[]"}, {object{keys: []string{}}, "{}"},
		{[]any{int16(1), "two", nil, []any{int32(70000)}}, `[1, "two", null, [70000]]`},
		{object{[]string{"a", "bc"}, []any{object{[]string{"x"}, []any{true}}, int64(3)}}, `{"a": {"x": true}, "bc": 3}`},
		{opaque{246, []byte{14, 4, 0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2}}, "1234567890.1234"},
		{opaque{10, packedDate(2024, 2, 29, 0, 0, 0, 0)}, `"2024-02-29"`},
		{opaque{12, packedDate(2024, 2, 29, 1, 2, 3, 4)}, `"2024-02-29 01:02:03.000004"`},
		{opaque{11, binary.LittleEndian.AppendUint64(nil, uint64((12<<12|34<<6|56)<<24|7))}, `"12:34:56.000007"`},
		{opaque{252, []byte("abc")}, `"base64:type252:YWJj"`},
	} {
		for _, large := range []bool{false, true} {
			var b jsonb.Builder
			if err := AppendJSON(&b, jsonDoc{large}.encode(c.v)); err != nil {
				t.Errorf("%v (large %v): %v", c.v, large, err)
				continue
			}
			if got := string(jsonb.AppendText(nil, b.Bytes())); got != c.want {
				t.Errorf("%v (large %v): got %s, want %s", c.v, large, got, c.want)
			}
		}
	}
	deep := any(int16(1))
	for range 200 {
		deep = []any{deep}
	}
	if err := AppendJSON(&jsonb.Builder{}, jsonDoc{}.encode(deep)); err == nil {
		t.Error("a value nested 200 deep went through")
	}
}

// TestPayload reads a compressed transaction of MySQL, and one that is only wrapped.
func TestPayload(t *testing.T) {
	inner := slices.Concat(event(TypeQuery, 0, 0, append(make([]byte, 13), "\x00BEGIN"...), false), event(TypeXID, 0, 0, make([]byte, 8), false))
	var z bytes.Buffer
	w, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(inner); err != nil {
		t.Fatal(err)
	}
	w.Close()
	field := func(kind byte, v uint16) []byte { return []byte{kind, 3, 0xfc, byte(v), byte(v >> 8)} }
	wrap := func(compression []byte, data []byte) Event {
		return Event{Type: TypePayload, Body: slices.Concat(compression, field(1, uint16(len(data))), field(3, uint16(len(inner))), []byte{0}, data)}
	}
	for name, e := range map[string]Event{
		"zstd": wrap([]byte{2, 1, 0}, z.Bytes()),
		"none": wrap([]byte{2, 3, 0xfc, 0xff, 0}, inner),
	} {
		p, err := ReadPayload(e)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		a, err := p.Next()
		if err != nil || a.Type != TypeQuery {
			t.Fatalf("%s: %v, %v", name, a, err)
		}
		if q, err := ReadQuery(a); err != nil || q.Text != "BEGIN" {
			t.Errorf("%s: %+v, %v", name, q, err)
		}
		if b, err := p.Next(); err != nil || b.Type != TypeXID {
			t.Errorf("%s: %v, %v", name, b, err)
		}
		if _, err := p.Next(); err != io.EOF {
			t.Errorf("%s: %v at the end", name, err)
		}
		p.Close()
		e.Body = e.Body[:len(e.Body)-5]
		if _, err := ReadPayload(e); err == nil {
			t.Errorf("%s: a payload that is too short went through", name)
		}
	}
}

func TestGTID(t *testing.T) {
	const uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	body := slices.Concat([]byte{1}, unhex(t, strings.ReplaceAll(uuid, "-", "")), binary.LittleEndian.AppendUint64(nil, 23))
	g, err := ReadGTID(Event{Type: TypeGTID, Body: body})
	if err != nil || g.String() != uuid || g.Number != 23 {
		t.Errorf("%+v, %v", g, err)
	}
	// A tagged one: numbers of variable length, as mysql::serialization writes them.
	var b []byte
	num := func(v uint64) {
		if v < 128 {
			b = append(b, byte(v<<1))
		} else {
			b = append(b, byte(v<<2)|1, byte(v>>6))
		}
	}
	num(1)
	num(60)
	num(0)
	num(0)
	num(1) // flags
	num(1)
	for _, x := range unhex(t, strings.ReplaceAll(uuid, "-", "")) {
		num(uint64(x))
	}
	num(2)
	num(23 << 1)
	num(3)
	num(3)
	b = append(b, "abc"...)
	g, err = ReadGTID(Event{Type: TypeGTIDTagged, Body: b})
	if err != nil || g.String() != uuid+":abc" || g.Number != 23 {
		t.Errorf("%+v (%s), %v", g, g, err)
	}
}

func TestSet(t *testing.T) {
	const a, b = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
	s, err := ParseSet(a + ":1-5:9, \n" + b + ":3:tag:1-2")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.String(), a+":1-5:9,"+b+":3:tag:1-2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	src := s.sorted()[0]
	for _, n := range []int64{7, 6, 8, 5, 10} {
		s.Add(GTID{src, n})
	}
	if got, want := s.String(), a+":1-10,"+b+":3:tag:1-2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !s.Has(GTID{src, 10}) || s.Has(GTID{src, 11}) || s.Has(GTID{src, 0}) {
		t.Error("Has is wrong at the ends")
	}
	plain, err := ParseSet(a + ":1-5:9")
	if err != nil {
		t.Fatal(err)
	}
	want := "0100000000000000" + strings.ReplaceAll(a, "-", "") + "0200000000000000" + "0100000000000000" + "0600000000000000" + "0900000000000000" + "0a00000000000000"
	if got := hex.EncodeToString(plain.Encode()); got != want {
		t.Errorf("encoded: got %s, want %s", got, want)
	}
	for _, bad := range []string{"x:1", a + ":5-1", a + ":0", a[:10] + ":1"} {
		if _, err := ParseSet(bad); err == nil {
			t.Errorf("%q is a set", bad)
		}
	}
}

func TestMariaPosition(t *testing.T) {
	p, err := ParseMariaPosition("0-1-100,7-3-5")
	if err != nil || p.String() != "0-1-100,7-3-5" {
		t.Fatalf("%v, %v", p, err)
	}
	p.Add(MariaGTID{Domain: 0, Server: 2, Number: 101})
	if p.String() != "0-2-101,7-3-5" || !p.Covers(MariaGTID{Domain: 0, Server: 9, Number: 101}) || p.Covers(MariaGTID{Domain: 1, Number: 1}) {
		t.Errorf("%s", p)
	}
	if p.Passed(MariaGTID{Domain: 0, Server: 1, Number: 50}) || !p.Passed(MariaGTID{Domain: 0, Server: 2, Number: 50}) {
		t.Error("Passed is wrong")
	}
}

// FuzzEvents reads arbitrary bytes as events, with everything that is in them.
func FuzzEvents(f *testing.F) {
	f.Add(event(TypeQuery, 0, 1, append(make([]byte, 13), "\x00BEGIN"...), false))
	f.Add(event(TypeFormat, 0, 1, formatBody(), true))
	// A table map of MariaDB with all of its metadata, and rows: recorded.
	f.Add(event(TypeTableMap, 0, 1, slices.Concat(make([]byte, 8), []byte("\x01d\x00\x01t\x00\x02\x03\x0f\x02\x14\x00\x02\x01\x01\x80\x04\x04\x01a\x01b\x08\x01\x00")), false))
	f.Add(event(TypeWriteRowsV1, 0, 1, slices.Concat(make([]byte, 8), []byte("\x02\xff\xfc\x01\x00\x00\x00\x03one")), false))
	f.Add(event(TypeMariaGTID, 0, 1, make([]byte, 19), false))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		d := NewDecoder(len(raw)%2 == 0, true)
		e, err := d.Decode(raw)
		if err != nil {
			return
		}
		_, _, _ = Rotate(e)
		_, _ = ReadQuery(e)
		_, _ = ReadGTID(e)
		_, _ = ReadMariaGTID(e)
		_ = Incident(e)
		if p, err := ReadPayload(e); err == nil {
			for range 10 {
				if _, err := p.Next(); err != nil {
					break
				}
			}
			p.Close()
		}
		m, err := ReadTableMap(e)
		if err != nil {
			m = &TableMap{Columns: []Column{{Kind: KindLong}, {Kind: KindVarchar, Size: 20}}}
		}
		r, err := ReadRows(e)
		if err != nil || r.Bind(m) != nil {
			return
		}
		for {
			if _, _, ok, err := r.Next(); err != nil || !ok {
				return
			}
		}
	})
}

// FuzzJSON: no bytes make the reader fail otherwise than by an error, and what it takes is a valid value.
func FuzzJSON(f *testing.F) {
	f.Add(jsonDoc{}.encode(object{[]string{"a", "bc"}, []any{object{[]string{"x"}, []any{true}}, int64(3)}}))
	f.Add(jsonDoc{true}.encode([]any{int16(1), "two", nil, []any{int32(70000)}, opaque{246, []byte{14, 4, 0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out jsonb.Builder
		if AppendJSON(&out, b) != nil {
			return
		}
		if err := jsonb.Check(out.Bytes()); err != nil {
			t.Fatalf("%x became a value that is none: %v", b, err)
		}
	})
}

// TestBeforeChecksums reads the description of a log of MySQL 5.5, which has no byte that names the algorithm; what follows has no checksums,
// whatever was believed before.
func TestBeforeChecksums(t *testing.T) {
	event := func(typ Type, body []byte) []byte {
		raw := make([]byte, headerSize, headerSize+len(body))
		raw[4] = byte(typ)
		binary.LittleEndian.PutUint32(raw[9:], uint32(headerSize+len(body)))
		return append(raw, body...)
	}
	describe := func(version string) []byte {
		body := make([]byte, 2+50+4)
		body[0] = 4
		copy(body[2:], version)
		body = append(body, headerSize)
		return event(TypeFormat, append(body, 56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 84, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0)) // post-header lengths
	}
	d := NewDecoder(true, false)
	e, err := d.Decode(describe("5.5.9-log"))
	if err != nil || e.Body[len(e.Body)-2] != 2 {
		t.Fatalf("%v, %v", e.Body, err)
	}
	if e, err = d.Decode(event(TypeXID, []byte{1, 2, 3, 4, 5, 6, 7, 8})); err != nil || len(e.Body) != 8 {
		t.Errorf("%v, %v", e.Body, err)
	}
	if _, err := NewDecoder(true, false).Decode(describe("5.6.40-log")); err == nil {
		t.Error("bytes that are no checksum were taken for one")
	}
}
