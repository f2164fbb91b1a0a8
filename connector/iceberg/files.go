package iceberg

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Files implements the file system of iceberg-go over minio-go, which we have already: the library's own brings the SDK of
// AWS. Names are s3://bucket/key.
type s3Files struct {
	client *minio.Client
	ctx    context.Context // of the call for which the library made it: its interface has none of its own
}

var registerOnce sync.Once

// registerS3 tells the library who opens s3:// and s3a:// names.
func registerS3() {
	registerOnce.Do(func() {
		for _, scheme := range []string{"s3", "s3a"} {
			iceio.Register(scheme, newS3Files)
		}
	})
}

func newS3Files(ctx context.Context, _ *url.URL, props map[string]string) (iceio.IO, error) {
	endpoint, secure := props["s3.endpoint"], true
	region := props["s3.region"]
	if region == "" {
		region = props["client.region"]
	}
	if region == "" {
		region = "us-east-1"
	}
	if endpoint == "" {
		endpoint = "https://s3." + region + ".amazonaws.com"
	}
	if strings.Contains(endpoint, "://") {
		u, err := url.Parse(endpoint)
		if err != nil {
			return nil, fmt.Errorf("s3.endpoint: %w", err)
		}
		endpoint, secure = u.Host, u.Scheme == "https"
	}
	lookup := minio.BucketLookupAuto
	if props["s3.path-style"] == "true" || props["s3.force-virtual-addressing"] == "false" {
		lookup = minio.BucketLookupPath
	}
	c, err := minio.New(endpoint, &minio.Options{Creds: credentials.NewStaticV4(props["s3.access-key-id"], props["s3.secret-access-key"], props["s3.session-token"]),
		Secure: secure, Region: region, BucketLookup: lookup, MaxRetries: 3})
	if err != nil {
		return nil, err
	}
	return &s3Files{client: c, ctx: context.WithoutCancel(ctx)}, nil
}

// split takes a name apart.
func split(name string) (bucket, key string, err error) {
	u, err := url.Parse(name)
	if err != nil || u.Host == "" {
		return "", "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	_, rest, _ := strings.Cut(name, "://")
	_, key, _ = strings.Cut(rest, "/")
	return u.Host, key, nil
}

func pathError(op, name string, err error) error {
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		err = fs.ErrNotExist
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Open implements io.IO.
func (s *s3Files) Open(name string) (iceio.File, error) {
	bucket, key, err := split(name)
	if err != nil {
		return nil, err
	}
	o, err := s.client.GetObject(s.ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, pathError("open", name, err)
	}
	st, err := o.Stat()
	if err != nil {
		_ = o.Close()
		return nil, pathError("open", name, err)
	}
	return &object{Object: o, info: info{st}}, nil
}

// Remove implements io.IO.
func (s *s3Files) Remove(name string) error {
	bucket, key, err := split(name)
	if err != nil {
		return err
	}
	if err := s.client.RemoveObject(s.ctx, bucket, key, minio.RemoveObjectOptions{}); err != nil {
		return pathError("remove", name, err)
	}
	return nil
}

// Create implements io.WriteFileIO: the object is there when the writer is closed.
func (s *s3Files) Create(name string) (iceio.FileWriter, error) {
	if _, _, err := split(name); err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	f := &newObject{PipeWriter: w, done: make(chan error, 1)}
	go func() { // Close waits
		bucket, key, _ := split(name)
		_, err := s.client.PutObject(s.ctx, bucket, key, r, -1, minio.PutObjectOptions{PartSize: 16 << 20,
			DisableContentSha256: true, SendContentMd5: true}) // not all servers know signed streams
		_ = r.CloseWithError(err)
		f.done <- err
	}()
	return f, nil
}

// WriteFile implements io.WriteFileIO.
func (s *s3Files) WriteFile(name string, p []byte) error {
	bucket, key, err := split(name)
	if err != nil {
		return err
	}
	if _, err := s.client.PutObject(s.ctx, bucket, key, bytes.NewReader(p), int64(len(p)), minio.PutObjectOptions{}); err != nil {
		return pathError("write", name, err)
	}
	return nil
}

// newObject is an object being written.
type newObject struct {
	*io.PipeWriter
	done chan error
}

// ReadFrom implements io.ReaderFrom.
func (f *newObject) ReadFrom(r io.Reader) (int64, error) { return io.Copy(f.PipeWriter, r) }

// Close completes the object.
func (f *newObject) Close() error {
	_ = f.PipeWriter.Close()
	return <-f.done
}

// object is an object being read.
type object struct {
	*minio.Object
	info info
}

// Stat implements fs.File.
func (o *object) Stat() (fs.FileInfo, error) { return o.info, nil }

type info struct{ o minio.ObjectInfo }

func (i info) Name() string       { return path.Base(i.o.Key) }
func (i info) Size() int64        { return i.o.Size }
func (i info) Mode() fs.FileMode  { return 0o444 }
func (i info) ModTime() time.Time { return i.o.LastModified }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
