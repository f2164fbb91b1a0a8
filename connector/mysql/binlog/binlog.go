// Package binlog reads the events of MySQL's and MariaDB's binary log.
//
// The idea: a Decoder turns the bytes of one event into an Event, with its checksum verified and its compression undone; functions named after
// the kinds of events read their bodies. Rows gives the cells of rows as the bytes that the log has of them, cut by what the
// table map says; functions named after types (Decimal, Time, AppendJSON …) read cells.
//
// A Decoder belongs to one goroutine; it knows only what the log itself says: format and checksums. What is returned points into the
// event and holds as long as that does.
//
// Invariant: no input makes it panic or allocate much more than the input's size times what a compression may yield; every
// length is checked against what is there.
//
// It does not read files or connections (connector/mysql/wire), does not know what was captured, and does not map types to ours
// (connector/mysql). Start at Decoder.Decode and Rows.
//
// Sources: MySQL's documentation of its replication protocol and of libbinlogevents, MariaDB's knowledge base on the replication protocol.
package binlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// Type is the kind of an event.
type Type byte

// The events that are told apart.
const (
	TypeQuery             Type = 2
	TypeStop              Type = 3
	TypeRotate            Type = 4
	TypeFormat            Type = 15
	TypeXID               Type = 16
	TypeBeginLoadQuery    Type = 17
	TypeExecuteLoadQuery  Type = 18
	TypeTableMap          Type = 19
	TypeWriteRowsV1       Type = 23
	TypeUpdateRowsV1      Type = 24
	TypeDeleteRowsV1      Type = 25
	TypeIncident          Type = 26
	TypeHeartbeat         Type = 27
	TypeRowsQuery         Type = 29
	TypeWriteRows         Type = 30
	TypeUpdateRows        Type = 31
	TypeDeleteRows        Type = 32
	TypeGTID              Type = 33
	TypeAnonymousGTID     Type = 34
	TypePreviousGTIDs     Type = 35
	TypeXAPrepare         Type = 38
	TypePartialUpdate     Type = 39
	TypePayload           Type = 40
	TypeHeartbeatV2       Type = 41
	TypeGTIDTagged        Type = 42
	TypeMariaGTID         Type = 162
	TypeMariaGTIDList     Type = 163
	TypeMariaStartEncrypt Type = 164
	TypeMariaQueryZ       Type = 165
	TypeMariaWriteRowsZ1  Type = 166
	TypeMariaUpdateRowsZ1 Type = 167
	TypeMariaDeleteRowsZ1 Type = 168
	TypeMariaWriteRowsZ2  Type = 169
	TypeMariaUpdateRowsZ2 Type = 170
	TypeMariaDeleteRowsZ2 Type = 171
)

// Flags of an event's header.
const (
	FlagInUse      = 0x01 // of a format description: the file is being written
	FlagThread     = 0x04
	FlagArtificial = 0x20 // made for the dump: it is not in the file
	FlagIgnorable  = 0x80
)

const headerSize = 19

// Event is one event. Body is without header and checksum.
type Event struct {
	Timestamp uint32 // seconds since 1970; 0 for what is made for the dump
	Type      Type
	ServerID  uint32
	Size      uint32 // in the log, in bytes
	LogPos    uint32 // where the next event begins, the low 32 bits; 0: not in the file
	Flags     uint16
	Body      []byte
}

// Decoder reads the events of one dump, in order.
type Decoder struct {
	checksum bool
	mariaDB  bool
}

// NewDecoder starts a dump. checksum says whether events before the first format description have one.
func NewDecoder(checksum, mariaDB bool) *Decoder {
	return &Decoder{checksum: checksum, mariaDB: mariaDB}
}

var errShort = errors.New("the event ends too early")

// Decode reads one event. A checksum that does not match is an error: the bytes were damaged on their way or on disk.
func (d *Decoder) Decode(raw []byte) (Event, error) {
	e, err := header(raw)
	if err != nil {
		return e, err
	}
	if e.Type == TypeFormat {
		if err := d.format(raw, &e); err != nil {
			return e, fmt.Errorf("read format description: %w", err)
		}
		return e, nil
	}
	if d.checksum {
		if e.Body, err = verify(raw, 0); err != nil {
			return e, fmt.Errorf("read event of type %d: %w", e.Type, err)
		}
	}
	return e, nil
}

func header(raw []byte) (Event, error) {
	if len(raw) < headerSize {
		return Event{}, errShort
	}
	e := Event{
		Timestamp: binary.LittleEndian.Uint32(raw), Type: Type(raw[4]), ServerID: binary.LittleEndian.Uint32(raw[5:]),
		Size: binary.LittleEndian.Uint32(raw[9:]), LogPos: binary.LittleEndian.Uint32(raw[13:]), Flags: binary.LittleEndian.Uint16(raw[17:]),
		Body: raw[headerSize:],
	}
	if int64(e.Size) != int64(len(raw)) {
		return e, fmt.Errorf("an event of %d bytes says that it has %d", len(raw), e.Size)
	}
	return e, nil
}

// verify checks the CRC32 in the last four bytes and returns the body before it. Flags in clear are taken out for that.
func verify(raw []byte, clear byte) ([]byte, error) {
	n := len(raw) - 4
	if n < headerSize {
		return nil, errShort
	}
	sum := crc32.ChecksumIEEE(raw[:17])
	sum = crc32.Update(sum, crc32.IEEETable, []byte{raw[17] &^ clear})
	sum = crc32.Update(sum, crc32.IEEETable, raw[18:n])
	if got := binary.LittleEndian.Uint32(raw[n:]); got != sum {
		return nil, fmt.Errorf("checksum %08x, the event has %08x: it is damaged", got, sum)
	}
	return raw[headerSize:n:n], nil
}

// format learns from a format description whether events have checksums. The file that is being written has a description whose checksum
// was made before its flag was set.
func (d *Decoder) format(raw []byte, e *Event) error {
	const versionAt, fixed = 0, 2 + 50 + 4 + 1
	if len(e.Body) < fixed+5 {
		return errShort
	}
	if v := binary.LittleEndian.Uint16(e.Body[versionAt:]); v != 4 {
		return fmt.Errorf("version %d of the format, which is older than MySQL 5.0", v)
	}
	if n := e.Body[fixed-1]; n != headerSize {
		return fmt.Errorf("headers of %d bytes", n)
	}
	if beforeChecksums(e.Body[2:52]) {
		d.checksum = false
		return nil
	}
	switch alg := e.Body[len(e.Body)-5]; alg {
	case 0:
		d.checksum = false
	case 1:
		d.checksum = true
		if e.LogPos != 0 && e.Flags&FlagArtificial == 0 {
			if _, err := verify(raw, FlagInUse); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("checksum algorithm %d", alg)
	}
	e.Body = e.Body[:len(e.Body)-5]
	return nil
}

// beforeChecksums recognises the version of a MySQL that has no checksums in its logs, nor a place for them in their descriptions: 5.1 and 5.5.
func beforeChecksums(version []byte) bool {
	v := string(version)
	return (strings.HasPrefix(v, "5.1.") || strings.HasPrefix(v, "5.5.")) && !strings.Contains(v, "MariaDB")
}

// Rotate reads where the log goes on.
func Rotate(e Event) (file string, pos uint64, err error) {
	if len(e.Body) < 8 {
		return "", 0, errShort
	}
	return string(e.Body[8:]), binary.LittleEndian.Uint64(e.Body), nil
}

// Query is a statement, as it was given in a database.
type Query struct {
	Schema string
	Text   string
}

// ReadQuery reads the body of a TypeQuery or TypeMariaQueryZ.
func ReadQuery(e Event) (Query, error) {
	b := e.Body
	if len(b) < 13 {
		return Query{}, errShort
	}
	schema, status := int(b[8]), int(binary.LittleEndian.Uint16(b[11:]))
	b = b[13:]
	if len(b) < status+schema+1 {
		return Query{}, errShort
	}
	q := Query{Schema: string(b[status : status+schema])}
	text := b[status+schema+1:]
	if e.Type == TypeMariaQueryZ {
		var err error
		if text, err = inflateMaria(text); err != nil {
			return q, err
		}
	}
	q.Text = string(text)
	return q, nil
}

// Incident reads what a server says when its log has a gap.
func Incident(e Event) string {
	if len(e.Body) < 3 || len(e.Body) < 3+int(e.Body[2]) {
		return ""
	}
	return string(e.Body[3 : 3+int(e.Body[2])])
}

// XAPrepare reads whether an XA transaction was committed in one phase.
func XAPrepare(e Event) (onePhase bool) { return len(e.Body) > 0 && e.Body[0] != 0 }

// number reads a length-encoded number.
func number(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	size := 0
	switch b[0] {
	case 0xfc:
		size = 2
	case 0xfd:
		size = 3
	case 0xfe:
		size = 8
	case 0xfb, 0xff:
		return 0, nil, false
	default:
		return uint64(b[0]), b[1:], true
	}
	if len(b) < 1+size {
		return 0, nil, false
	}
	return little(b[1 : 1+size]), b[1+size:], true
}

// text reads a length-encoded string.
func text(b []byte) (s, rest []byte, ok bool) {
	n, b, ok := number(b)
	if !ok || n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

// little reads up to eight bytes, the least significant first.
func little(b []byte) (v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}

// big reads up to eight bytes, the most significant first.
func big(b []byte) (v uint64) {
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v
}
