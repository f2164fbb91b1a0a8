package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
	"time"
)

// Version of Apache Kafka that is run: the newest that Java 11 still starts.
const Version = "3.9.1"

// fetchWithin bounds the download of the jars (46 MB).
const fetchWithin = 10 * time.Minute

// ErrMissing says that a tool is not installed; tests skip with it.
var ErrMissing = errors.New("not installed")

var pom = template.Must(template.New("pom").Parse(`<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace.test</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{{.}}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`))

// jars returns the folder with Kafka's jars, which Maven fills at first use.
func jars() (string, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("run Kafka: java is %w", ErrMissing)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	dir := filepath.Join(cache, "millrace", "kafka-"+Version)
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return dir, nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return "", fmt.Errorf("fetch Kafka: mvn is %w", ErrMissing)
	}
	return dir, fetch(dir)
}

func fetch(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder for Kafka: %w", err)
	}
	work, err := os.MkdirTemp(dir, "fetch")
	if err != nil {
		return fmt.Errorf("make a folder to fetch Kafka: %w", err)
	}
	defer os.RemoveAll(work)
	var text bytes.Buffer
	if err := pom.Execute(&text, Version); err != nil {
		return err
	}
	file := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mvn", "--quiet", "--batch-mode", "--file", file,
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch Kafka: %w\n%s", err, out)
	}
	return os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644)
}
