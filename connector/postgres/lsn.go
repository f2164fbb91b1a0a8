package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/connector/cdc"
)

// lsn is a place in PostgreSQL's log, in bytes.
type lsn uint64

func (l lsn) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

func (l lsn) position() cdc.Position { return cdc.Position{A: uint64(l)} }

func parseLSN(s string) (lsn, error) {
	hi, lo, ok := strings.Cut(s, "/")
	h, err1 := strconv.ParseUint(hi, 16, 32)
	l, err2 := strconv.ParseUint(lo, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("read the log position %q: %w", s, strconv.ErrSyntax)
	}
	return lsn(h<<32 | l), nil
}

// resume is where a stream goes on: with the transactions that commit at or after at, but for the first changes of one of them.
type resume struct {
	system uint64 // which server (pg_control's system identifier)
	at     lsn
	final  lsn    // the transaction of which changes were given, 0: none
	given  uint64 // how many; of all captured and other tables in the publication
}

const resumeVersion = 1

func (r resume) encode() []byte {
	b := []byte{resumeVersion}
	b = binary.BigEndian.AppendUint64(b, r.system)
	b = binary.BigEndian.AppendUint64(b, uint64(r.at))
	if r.final != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(r.final))
		b = binary.AppendUvarint(b, r.given)
	}
	return b
}

func decodeResume(b []byte) (resume, error) {
	bad := errors.New("read an offset of a PostgreSQL log: unknown form")
	if len(b) < 17 || b[0] != resumeVersion {
		return resume{}, bad
	}
	r := resume{system: binary.BigEndian.Uint64(b[1:]), at: lsn(binary.BigEndian.Uint64(b[9:]))}
	if b = b[17:]; len(b) == 0 {
		return r, nil
	}
	if len(b) < 9 {
		return resume{}, bad
	}
	r.final = lsn(binary.BigEndian.Uint64(b))
	n, used := binary.Uvarint(b[8:])
	if used <= 0 || used != len(b)-8 {
		return resume{}, bad
	}
	r.given = n
	return r, nil
}
