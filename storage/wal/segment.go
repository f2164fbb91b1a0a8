package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"
)

// A segment is a header and records. All numbers are little-endian.
//
//	header   magic[8] format u32, crc32c u32 of the rest, first u64, previous u64
//	record   magic u32, crc32c u32 of the rest, length u32, position u64, batch u64, payload
//
// first is the position of the first record; previous that of the last one of the segment before,
// so that a segment that went missing is noticed. batch is the position of the first record that
// was synced together with this one.
const (
	segmentMagic  = "MILLRLOG"
	segmentFormat = 1
	headerLen     = 32

	frameMagic = 0x6D_6C_52_31
	frameLen   = 28

	segmentSuffix = ".log"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentName sorts by position.
func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// listSegments returns the segments of a folder in order. Other files are not ours to judge.
func listSegments(fs FS) ([]segment, error) {
	names, err := fs.List()
	if err != nil {
		return nil, err
	}
	var segments []segment
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, segmentSuffix)
		first, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || segmentName(first) != name {
			continue
		}
		size, err := fs.Size(name)
		if err != nil {
			return nil, err
		}
		segments = append(segments, segment{name: name, first: first, size: size})
	}
	slices.SortFunc(segments, func(a, b segment) int { return strings.Compare(a.name, b.name) })
	return segments, nil
}

func encodeHeader(first, previous uint64) []byte {
	b := append(make([]byte, 0, headerLen), segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, segmentFormat)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, first)
	b = binary.LittleEndian.AppendUint64(b, previous)
	binary.LittleEndian.PutUint32(b[12:], headerSum(b))
	return b
}

func headerSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:headerLen])
}

// errNoHeader means that a header is missing or torn, which only the last segment's may be.
var errNoHeader = errors.New("segment has no header")

func decodeHeader(b []byte) (first, previous uint64, err error) {
	if len(b) < headerLen || string(b[:8]) != segmentMagic {
		return 0, 0, errNoHeader
	}
	// The format comes before the sum: a later one may sum differently.
	if format := binary.LittleEndian.Uint32(b[8:]); format != segmentFormat {
		return 0, 0, fmt.Errorf("segment has format %d, this release reads %d", format, segmentFormat)
	}
	if binary.LittleEndian.Uint32(b[12:]) != headerSum(b) {
		return 0, 0, errNoHeader
	}
	return binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]), nil
}

// appendFrame appends an encoded record.
func appendFrame(dst []byte, pos, batch uint64, payload []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, frameMagic)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint64(dst, pos)
	dst = binary.LittleEndian.AppendUint64(dst, batch)
	dst = append(dst, payload...)
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(dst[start+8:], castagnoli))
	return dst
}

// frame is a decoded record; payload is a part of the input.
type frame struct {
	pos, batch uint64
	payload    []byte
	size       int // bytes in the segment
}

// decodeFrame reads the record at the start of b. ok is false when there is no whole, sound one.
func decodeFrame(b []byte) (f frame, ok bool) {
	if len(b) < frameLen || binary.LittleEndian.Uint32(b) != frameMagic {
		return f, false
	}
	n := binary.LittleEndian.Uint32(b[8:])
	if n > MaxPayload || uint64(n) > uint64(len(b)-frameLen) {
		return f, false
	}
	f.size = frameLen + int(n)
	if binary.LittleEndian.Uint32(b[4:]) != crc32.Checksum(b[8:f.size], castagnoli) {
		return f, false
	}
	f.pos = binary.LittleEndian.Uint64(b[12:])
	f.batch = binary.LittleEndian.Uint64(b[20:])
	f.payload = b[frameLen:f.size:f.size]
	return f, true
}

// frameSize returns how many bytes the record at the start of b claims to have.
func frameSize(b []byte) int {
	if len(b) < frameLen {
		return frameLen
	}
	return frameLen + int(min(binary.LittleEndian.Uint32(b[8:]), MaxPayload))
}

// scanResult says what is in the last segment of a log.
type scanResult struct {
	header bool   // the header is whole; if not, nothing below is set
	last   uint64 // position of the last sound record; 0 when there is none
	end    int64  // where it ends
	size   int64  // of the file, which may have a torn rest
}

// scanSegment reads the last segment. It returns ErrCorrupt when it holds a broken record that must
// have been durable.
func scanSegment(f File, s *segment) (scanResult, error) {
	data := make([]byte, s.size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, s.size), data); err != nil {
		return scanResult{}, err
	}
	return scan(data, s.first)
}

func scan(data []byte, first uint64) (scanResult, error) {
	headerFirst, _, err := decodeHeader(data)
	if errors.Is(err, errNoHeader) {
		if hasFrameOfBatchAbove(data, 0) {
			return scanResult{}, fmt.Errorf("%w: records follow a broken header", ErrCorrupt)
		}
		return scanResult{}, nil
	}
	if err != nil {
		return scanResult{}, err
	}
	if headerFirst != first {
		return scanResult{}, fmt.Errorf("%w: header says first position %d", ErrCorrupt, headerFirst)
	}
	r := scanResult{header: true, end: headerLen, size: int64(len(data))}
	next := first
	for {
		f, ok := decodeFrame(data[r.end:])
		if !ok {
			break
		}
		if f.pos != next {
			return r, fmt.Errorf("%w: position %d at byte %d, expected %d", ErrCorrupt, f.pos, r.end, next)
		}
		r.last, next = f.pos, f.pos+1
		r.end += int64(f.size)
	}
	if hasFrameOfBatchAbove(data[r.end:], next) {
		return r, fmt.Errorf("%w: record %d at byte %d is broken and later ones are not", ErrCorrupt, next, r.end)
	}
	return r, nil
}

// hasFrameOfBatchAbove searches for a sound record, at any byte, whose batch began after pos: it was
// written after pos had been synced.
func hasFrameOfBatchAbove(data []byte, pos uint64) bool {
	magic := binary.LittleEndian.AppendUint32(nil, frameMagic)
	for {
		i := bytes.Index(data, magic)
		if i < 0 {
			return false
		}
		if f, ok := decodeFrame(data[i:]); ok && f.batch > pos {
			return true
		}
		data = data[i+1:]
	}
}
