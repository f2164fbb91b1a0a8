package object

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// Open opens the store that a URL names:
//
//	file:///folder
//	s3://bucket/prefix?endpoint=http://host:port&region=…&access_key=…&secret_key=…
//
// What an S3 URL leaves out comes from getenv: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN. An endpoint without a scheme is reached by HTTPS. It
// asks an S3 server whether it honours conditional writes, so it fails at once when the server
// cannot be reached. Errors never repeat the URL, which may hold a secret.
func Open(ctx context.Context, rawURL string, getenv func(string) string) (Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("object store URL is malformed")
	}
	switch u.Scheme {
	case "file":
		return openFile(u)
	case "s3":
		cfg, err := s3Config(u, getenv)
		if err != nil {
			return nil, err
		}
		s, err := NewS3(cfg)
		if err != nil {
			return nil, err
		}
		if err := s.CheckConditionalPut(ctx); err != nil {
			return nil, fmt.Errorf("open bucket %q at %s: %w", cfg.Bucket, s.cfg.Endpoint, err)
		}
		return s, nil
	}
	return nil, fmt.Errorf("object store URL has scheme %q: use file:///folder or s3://bucket/prefix", u.Scheme)
}

func openFile(u *url.URL) (Store, error) {
	path := u.Path
	if u.Host != "" && u.Host != "localhost" {
		// file://folder, a slash short, is a relative path to nearly everyone.
		return nil, fmt.Errorf("object store URL names host %q: a folder is file:///folder", u.Host)
	}
	if path == "" {
		return nil, errors.New("object store URL names no folder")
	}
	s, err := NewFile(filepath.FromSlash(path))
	if err != nil {
		return nil, fmt.Errorf("open object folder: %w", err)
	}
	return s, nil
}

// s3Config reads the parameters of an S3 URL and refuses those it does not know.
func s3Config(u *url.URL, getenv func(string) string) (S3Config, error) {
	cfg := S3Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if cfg.Bucket == "" {
		return cfg, errors.New("object store URL names no bucket")
	}
	if cfg.Prefix != "" {
		if err := CheckName(cfg.Prefix); err != nil {
			return cfg, err
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return cfg, errors.New("object store URL has malformed parameters")
	}
	var endpoint string
	params := []struct {
		name, env string
		to        *string
	}{
		{"endpoint", "AWS_ENDPOINT_URL", &endpoint},
		{"region", "AWS_REGION", &cfg.Region},
		{"access_key", "AWS_ACCESS_KEY_ID", &cfg.AccessKey},
		{"secret_key", "AWS_SECRET_ACCESS_KEY", &cfg.SecretKey},
		{"session_token", "AWS_SESSION_TOKEN", &cfg.SessionToken},
	}
	for _, p := range params {
		if query.Has(p.name) {
			*p.to = query.Get(p.name)
			query.Del(p.name)
		} else if getenv != nil {
			*p.to = getenv(p.env)
		}
	}
	for name := range query {
		return cfg, fmt.Errorf("object store URL has unknown parameter %q: known are endpoint, region, access_key, secret_key, session_token", name)
	}
	cfg.Endpoint, cfg.Insecure, err = splitEndpoint(endpoint)
	return cfg, err
}

func splitEndpoint(endpoint string) (host string, insecure bool, err error) {
	scheme, host, ok := strings.Cut(endpoint, "://")
	if !ok {
		scheme, host = "https", endpoint
	}
	if scheme != "http" && scheme != "https" {
		return "", false, fmt.Errorf("object store endpoint has scheme %q: use http or https", scheme)
	}
	host = strings.TrimSuffix(host, "/")
	if strings.ContainsAny(host, "/@?#") {
		return "", false, errors.New("object store endpoint must be host:port, without a path")
	}
	return host, scheme == "http", nil
}
