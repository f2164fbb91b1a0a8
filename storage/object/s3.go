package object

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Config says where a bucket is and who we are there.
type S3Config struct {
	Bucket string
	Prefix string // put before each name, without slashes at its ends; may be empty

	Endpoint string // host[:port]; empty: AWS of the region
	Insecure bool   // plain HTTP
	Region   string // empty: us-east-1

	AccessKey    string // with SecretKey empty: anonymous
	SecretKey    string
	SessionToken string

	// Attempts bounds how often a call is tried; the default is 8. Between attempts it waits
	// RetryBase, doubled each time up to RetryCap, less a random part. Defaults: 50 ms, 3 s.
	Attempts            int
	RetryBase, RetryCap time.Duration

	Transport http.RoundTripper // nil: minio-go's default
}

func (c *S3Config) setDefaults() {
	if c.Endpoint == "" {
		c.Endpoint = "s3.amazonaws.com"
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Attempts == 0 {
		c.Attempts = 8
	}
	if c.RetryBase == 0 {
		c.RetryBase = 50 * time.Millisecond
	}
	if c.RetryCap == 0 {
		c.RetryCap = 3 * time.Second
	}
}

// writerHeader is user metadata that tells whose PutIfAbsent wrote an object.
const writerHeader = "Millrace-Writer"

// S3 is a Store in a bucket of S3 or of a server that speaks its protocol. The server must honour
// If-None-Match on PUT (AWS, MinIO, Ceph, R2 and others do); CheckConditionalPut asks it.
type S3 struct {
	cfg    S3Config
	client *minio.Core
	prefix string // empty, or with a slash at its end
}

// NewS3 makes a client. It does not talk to the server yet.
func NewS3(cfg S3Config) (*S3, error) {
	cfg.setDefaults()
	if cfg.Bucket == "" {
		return nil, errors.New("object store URL names no bucket")
	}
	client, err := minio.NewCore(cfg.Endpoint, &minio.Options{
		Creds:        credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, cfg.SessionToken),
		Secure:       !cfg.Insecure,
		Region:       cfg.Region,
		Transport:    cfg.Transport,
		MaxRetries:   1, // attempts are counted in one place: retry
		BucketLookup: minio.BucketLookupAuto,
	})
	if err != nil {
		return nil, fmt.Errorf("set up S3 client for %s: %w", cfg.Endpoint, err)
	}
	s := &S3{cfg: cfg, client: client}
	if cfg.Prefix != "" {
		s.prefix = cfg.Prefix + "/"
	}
	return s, nil
}

// CheckConditionalPut makes sure that the bucket is there, that we may write, and that the server
// does not ignore If-None-Match, on which the safety of the store rests.
func (s *S3) CheckConditionalPut(ctx context.Context) error {
	const probe = "probe/conditional-put"
	err := s.PutIfAbsent(ctx, probe, []byte("1"))
	if err == nil || errors.Is(err, ErrExists) {
		err = s.PutIfAbsent(ctx, probe, []byte("2"))
	}
	if err == nil {
		return fmt.Errorf("object store at %s ignores If-None-Match: two servers could overwrite each other", s.cfg.Endpoint)
	}
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// key returns the name in the bucket.
func (s *S3) key(name string) (string, error) { return s.prefix + name, CheckName(name) }

// Put implements Store.
func (s *S3) Put(ctx context.Context, name string, data []byte) error {
	return s.do(ctx, "put", name, func(key string) error {
		return s.putOnce(ctx, key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{})
	})
}

// putOnce sends one PUT request; multipart uploads take no condition and are not atomic to retry.
func (s *S3) putOnce(ctx context.Context, key string, r io.Reader, size int64, opts minio.PutObjectOptions) error {
	opts.DisableMultipart = true
	opts.DisableContentSha256 = size == 0 // a signed stream of nothing is sent without a length
	_, err := s.client.Client.PutObject(ctx, s.cfg.Bucket, key, r, size, opts)
	return err
}

// PutIfAbsent implements Store. Each call marks its object with a random number: when the answer to
// an attempt was lost and the next one is told that the object exists, the mark says whose it is.
func (s *S3) PutIfAbsent(ctx context.Context, name string, data []byte) error {
	var mark [16]byte
	rand.Read(mark[:])
	writer := hex.EncodeToString(mark[:])
	opts := minio.PutObjectOptions{UserMetadata: map[string]string{writerHeader: writer}}
	opts.SetMatchETagExcept("*")
	return s.do(ctx, "put", name, func(key string) error {
		err := s.putOnce(ctx, key, bytes.NewReader(data), int64(len(data)), opts)
		if minio.ToErrorResponse(err).StatusCode != http.StatusPreconditionFailed {
			return err
		}
		st, err := s.client.StatObject(ctx, s.cfg.Bucket, key, minio.StatObjectOptions{})
		switch {
		case err == nil && st.UserMetadata[writerHeader] == writer:
			return nil
		case err == nil || errors.Is(explainS3(err), ErrNotFound):
			return ErrExists // even when it has been deleted since
		}
		return err
	})
}

// PutFile implements FilePutter: the file is streamed.
func (s *S3) PutFile(ctx context.Context, name, path string) error {
	return s.do(ctx, "put", name, func(key string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		return s.putOnce(ctx, key, f, st.Size(), minio.PutObjectOptions{})
	})
}

// GetFile implements FileGetter: the object is streamed.
func (s *S3) GetFile(ctx context.Context, name, path string) error {
	return s.do(ctx, "get", name, func(key string) error {
		return writeWhole(path, filepath.Dir(path), func(w io.Writer) error {
			body, _, _, err := s.client.GetObject(ctx, s.cfg.Bucket, key, minio.GetObjectOptions{})
			if err != nil {
				return err
			}
			defer body.Close()
			return copyAll(w, body)
		})
	})
}

// Get implements Store.
func (s *S3) Get(ctx context.Context, name string) (data []byte, err error) {
	err = s.do(ctx, "get", name, func(key string) error {
		data, err = s.getOnce(ctx, key, minio.GetObjectOptions{})
		return err
	})
	return data, err
}

func (s *S3) getOnce(ctx context.Context, key string, opts minio.GetObjectOptions) ([]byte, error) {
	body, info, _, err := s.client.GetObject(ctx, s.cfg.Bucket, key, opts)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data := make([]byte, info.Size)
	_, err = io.ReadFull(body, data)
	return data, err
}

// GetRange implements Store.
func (s *S3) GetRange(ctx context.Context, name string, offset, n int64) (data []byte, err error) {
	if _, _, err := clip(offset, n, 0); err != nil {
		return nil, wrap("get", name, err)
	}
	if n == 0 {
		_, err := s.Stat(ctx, name)
		return []byte{}, err
	}
	err = s.do(ctx, "get", name, func(key string) error {
		var opts minio.GetObjectOptions
		if err := opts.SetRange(offset, offset+n-1); err != nil {
			return err
		}
		data, err = s.getOnce(ctx, key, opts)
		if minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
			data, err = []byte{}, nil // begins behind the end
		}
		return err
	})
	return data, err
}

// Stat implements Store.
func (s *S3) Stat(ctx context.Context, name string) (info Info, err error) {
	err = s.do(ctx, "stat", name, func(key string) error {
		st, err := s.client.StatObject(ctx, s.cfg.Bucket, key, minio.StatObjectOptions{})
		info = Info{Name: name, Size: st.Size, ModTime: st.LastModified}
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

// List implements Store, a page of up to 1,000 names at a time.
func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for token := ""; ; {
			var page minio.ListBucketV2Result
			err := s.retry(ctx, func() (err error) {
				if err = ctx.Err(); err == nil {
					page, err = s.client.ListObjectsV2(s.cfg.Bucket, s.prefix+prefix, "", token, "", 1000)
				}
				return err
			})
			if err != nil {
				yield(Info{}, s.explain("list", prefix, err))
				return
			}
			for _, o := range page.Contents {
				name := strings.TrimPrefix(o.Key, s.prefix)
				if CheckName(name) != nil {
					continue // not one of ours
				}
				if !yield(Info{Name: name, Size: o.Size, ModTime: o.LastModified}, nil) {
					return
				}
			}
			if token = page.NextContinuationToken; !page.IsTruncated || token == "" {
				return
			}
		}
	}
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, name string) error {
	err := s.do(ctx, "delete", name, func(key string) error {
		return s.client.RemoveObject(ctx, s.cfg.Bucket, key, minio.RemoveObjectOptions{})
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// do runs one call with its retries and explains its error.
func (s *S3) do(ctx context.Context, op, name string, call func(key string) error) error {
	key, err := s.key(name)
	if err == nil {
		err = s.retry(ctx, func() error { return call(key) })
	}
	return s.explain(op, name, err)
}

func (s *S3) explain(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Name: name, Err: explainS3(err), Retryable: retryableS3(err)}
}

// retry repeats call until it succeeds, fails for good, has been tried often enough or ctx ends.
func (s *S3) retry(ctx context.Context, call func() error) error {
	for attempt := 1; ; attempt++ {
		err := ctx.Err()
		if err == nil {
			err = call()
		}
		if err == nil || attempt >= s.cfg.Attempts || ctx.Err() != nil || !retryableS3(err) {
			return err
		}
		wait := min(s.cfg.RetryBase<<min(attempt-1, 20), s.cfg.RetryCap)
		timer := time.NewTimer(wait/2 + mrand.N(wait/2+1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// retryableS3 tells whether the server or the network, not the request, is to blame.
func retryableS3(err error) bool {
	var resp minio.ErrorResponse
	if !errors.As(err, &resp) {
		return lostAnswer(err)
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusConflict:
		return resp.Code == "ConditionalRequestConflict" || resp.Code == "OperationAborted"
	case 0: // minio-go's own complaint about an argument
		return false
	}
	return resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented
}

// lostAnswer tells whether the connection could not be made, was cut or timed out.
func lostAnswer(err error) bool {
	var netErr net.Error
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.Canceled), errors.As(err, &untrusted):
		return false
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	}
	return errors.As(err, &netErr)
}

// explainS3 puts our own errors in place of status codes.
func explainS3(err error) error {
	var resp minio.ErrorResponse
	if !errors.As(err, &resp) {
		return err
	}
	switch {
	case resp.StatusCode == http.StatusNotFound && resp.Code != "NoSuchBucket":
		return ErrNotFound
	case resp.Code != "":
		return fmt.Errorf("%s (%s)", strings.TrimSuffix(resp.Error(), "."), resp.Code)
	}
	return err
}
