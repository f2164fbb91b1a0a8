package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/filesink"
	"github.com/millrace/millrace/connector/option"
)

// partBytes is the size of the parts of an upload; S3 wants at least 5 MiB of all but the last, and takes 10,000.
const partBytes = 16 << 20

// Sink implements connector.Sink.
type Sink struct{}

func parseSink(spec *connector.SinkSpec) (*bucket, *filesink.Options, error) {
	o := option.New(option.Connector("s3"), spec.Connector.Options)
	b := &bucket{connection: parseConnection(o)}
	c := filesink.Parse(o, spec)
	if err := o.Done(); err != nil {
		return nil, nil, err
	}
	var err error
	b.client, err = b.connection.client()
	return b, c, err
}

// Validate implements connector.Sink: it writes an object and removes it.
func (Sink) Validate(ctx context.Context, spec *connector.SinkSpec) error {
	b, _, err := parseSink(spec)
	if err != nil {
		return err
	}
	if _, err := codec.NewEncoder(spec); err != nil {
		return err
	}
	if err := b.check(ctx, b.client); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	probe := ".millrace-probe"
	if _, err := b.put(ctx, probe, []byte("{}"), minio.PutObjectOptions{}); err != nil {
		return b.explain("write", probe, err)
	}
	_ = b.client.RemoveObject(ctx, b.bucket, b.key(probe), minio.RemoveObjectOptions{}) // one that stays is hidden
	return nil
}

// Open implements connector.Sink.
func (Sink) Open(ctx context.Context, spec *connector.SinkSpec) (connector.Writer, error) {
	b, c, err := parseSink(spec)
	if err != nil {
		return nil, err
	}
	return filesink.Open(ctx, spec, c, b)
}

// bucket implements filesink.Target.
type bucket struct {
	*connection
	client *minio.Core
}

// upload implements filesink.Staged: a multipart upload.
type upload struct {
	b     *bucket
	name  string
	id    string
	buf   []byte
	parts []string // etags
}

// Create implements filesink.Target.
func (b *bucket) Create(ctx context.Context, name string) (filesink.Staged, error) {
	id, err := b.client.NewMultipartUpload(ctx, b.bucket, b.key(name), minio.PutObjectOptions{})
	if err != nil {
		return nil, b.explain("begin to write", name, err)
	}
	return &upload{b: b, name: name, id: id}, nil
}

// Write implements filesink.Staged.
func (u *upload) Write(ctx context.Context, data []byte) error {
	for len(data) > 0 {
		take := min(len(data), partBytes-len(u.buf))
		u.buf = append(u.buf, data[:take]...)
		data = data[take:]
		if len(u.buf) == partBytes {
			if err := u.part(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// partWithin bounds the sending of a part.
const partWithin = 5 * time.Minute

func (u *upload) part(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, partWithin)
	defer cancel()
	sum := sha256.Sum256(u.buf)
	p, err := u.b.client.PutObjectPart(ctx, u.b.bucket, u.b.key(u.name), u.id, len(u.parts)+1, bytes.NewReader(u.buf), int64(len(u.buf)),
		minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true}) // signed as a whole: not all servers know signed streams
	if err != nil {
		return u.b.explain("write", u.name, err)
	}
	u.parts, u.buf = append(u.parts, p.ETag), u.buf[:0]
	return nil
}

// Finish implements filesink.Staged.
func (u *upload) Finish(ctx context.Context) (filesink.Pending, error) {
	if len(u.buf) > 0 || len(u.parts) == 0 {
		if err := u.part(ctx); err != nil {
			return filesink.Pending{}, err
		}
	}
	return filesink.Pending{Name: u.name, Stage: u.id, Parts: u.parts}, nil
}

// Abort implements filesink.Staged.
func (u *upload) Abort() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = u.b.client.AbortMultipartUpload(ctx, u.b.bucket, u.b.key(u.name), u.id) // Clean finds what stays
}

// Publish implements filesink.Target: an upload that is not there any more has been completed.
func (b *bucket) Publish(ctx context.Context, p filesink.Pending) error {
	parts := make([]minio.CompletePart, len(p.Parts))
	for i, etag := range p.Parts {
		parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: etag}
	}
	_, err := b.client.CompleteMultipartUpload(ctx, b.bucket, b.key(p.Name), p.Stage, parts, minio.PutObjectOptions{})
	if minio.ToErrorResponse(err).Code == "NoSuchUpload" {
		return nil
	}
	return b.explain("complete", p.Name, err)
}

// Clean implements filesink.Target.
func (b *bucket) Clean(ctx context.Context, prefix string) error {
	for u := range b.client.ListIncompleteUploads(ctx, b.bucket, b.key(""), true) {
		if minio.ToErrorResponse(u.Err).Code == "NoSuchUpload" { // some servers' way to say that there are none
			break
		}
		if u.Err != nil {
			return b.explain("list unfinished uploads of", prefix, u.Err)
		}
		if !strings.HasPrefix(u.Key[strings.LastIndexByte(u.Key, '/')+1:], prefix+"-") {
			continue
		}
		if err := b.client.AbortMultipartUpload(ctx, b.bucket, u.Key, u.UploadID); err != nil && minio.ToErrorResponse(err).Code != "NoSuchUpload" {
			return b.explain("give up an unfinished upload of", u.Key, err)
		}
	}
	return nil
}

// Read implements filesink.Target.
func (b *bucket) Read(ctx context.Context, name string) (data []byte, version string, err error) {
	body, info, _, err := b.client.GetObject(ctx, b.bucket, b.key(name), minio.GetObjectOptions{})
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", b.explain("read", name, err)
	}
	defer body.Close()
	data, err = io.ReadAll(body)
	return data, info.ETag, b.explain("read", name, err)
}

// Swap implements filesink.Target: the version is the object's ETag. A server that knows no conditional writes is asked what there is
// just before: what another writer does between the two is not seen there.
func (b *bucket) Swap(ctx context.Context, name string, data []byte, version string) (string, error) {
	_, at, err := b.Read(ctx, name)
	if err != nil {
		return "", err
	}
	if at != version {
		return "", filesink.ErrOvertaken
	}
	o := minio.PutObjectOptions{}
	if version == "" {
		o.SetMatchETagExcept("*")
	} else {
		o.SetMatchETag(version)
	}
	at, err = b.put(ctx, name, data, o)
	if minio.ToErrorResponse(err).StatusCode == http.StatusNotImplemented {
		at, err = b.put(ctx, name, data, minio.PutObjectOptions{})
	}
	switch minio.ToErrorResponse(err).StatusCode {
	case http.StatusPreconditionFailed, http.StatusConflict:
		return "", filesink.ErrOvertaken
	}
	if err != nil {
		return "", fmt.Errorf("write record: %w", b.explain("write", name, err))
	}
	return at, nil
}

func (b *bucket) put(ctx context.Context, name string, data []byte, o minio.PutObjectOptions) (etag string, err error) {
	o.ContentType = "application/json"
	info, err := b.client.Client.PutObject(ctx, b.bucket, b.key(name), bytes.NewReader(data), int64(len(data)), o)
	return info.ETag, err
}
