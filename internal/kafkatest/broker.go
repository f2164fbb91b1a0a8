package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"text/template"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The credentials that the SASL listener knows.
const (
	User     = "miller"
	Password = "grist"
)

const (
	// readyWithin is how long a start may take, recovery of unclean logs included.
	readyWithin = 90 * time.Second
	// stopWithin is how long a clean shutdown may take before the process is killed.
	stopWithin = 20 * time.Second
)

// Broker is one Kafka cluster of one process, with a folder and ports that outlive the process.
type Broker struct {
	dir   string
	jars  string
	ports ports
	cmd   *exec.Cmd     // nil: not running
	done  chan struct{} // closed when cmd has ended
	log   safeBuffer    // of all processes so far
}

type ports struct{ Plain, SASL, Controller int }

var config = template.Must(template.New("config").Parse(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{{.Controller}}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{{.Plain}},SASL_PLAINTEXT://127.0.0.1:{{.SASL}},CONTROLLER://127.0.0.1:{{.Controller}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{.Plain}},SASL_PLAINTEXT://127.0.0.1:{{.SASL}}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs={{.Dir}}/logs
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
`))

// New makes a cluster in a temporary folder and starts it. Close removes both.
func New() (*Broker, error) {
	jars, err := jars()
	if err != nil {
		return nil, err
	}
	b := &Broker{jars: jars}
	if b.dir, err = os.MkdirTemp("", "millrace-kafka"); err != nil {
		return nil, fmt.Errorf("make a folder for Kafka: %w", err)
	}
	if err = b.format(); err == nil {
		err = b.Start()
	}
	if err == nil {
		err = b.addUser()
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// format writes the configuration and prepares the log folder.
func (b *Broker) format() error {
	for _, p := range []*int{&b.ports.Plain, &b.ports.SASL, &b.ports.Controller} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // after all are found, so that they differ
		*p = l.Addr().(*net.TCPAddr).Port
	}
	var text bytes.Buffer
	if err := config.Execute(&text, struct {
		ports
		Dir string
	}{b.ports, b.dir}); err != nil {
		return err
	}
	if err := os.WriteFile(b.file(), text.Bytes(), 0o644); err != nil {
		return err
	}
	cmd := b.java("kafka.tools.StorageTool", "format", "--cluster-id", "TWlsbHJhY2VUZXN0TWlsbA", "--config", b.file())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format Kafka's storage: %w\n%s", err, out)
	}
	return nil
}

func (b *Broker) file() string { return filepath.Join(b.dir, "server.properties") }

// java makes a command that runs a class. The quick compiler only: tests are short, and the CPU is shared.
func (b *Broker) java(class string, args ...string) *exec.Cmd {
	flags := []string{"-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp", filepath.Join(b.jars, "*"), class}
	cmd := exec.Command("java", append(flags, args...)...)
	cmd.Dir = b.dir
	return cmd
}

// Start begins a process and waits until it serves.
func (b *Broker) Start() error {
	if b.cmd != nil {
		return errors.New("start Kafka: it runs already")
	}
	cmd := b.java("kafka.Kafka", b.file())
	cmd.Stdout, cmd.Stderr = &b.log, &b.log
	dieWithParent(cmd)
	done, started := make(chan struct{}), make(chan error, 1)
	go func() { // ends with the process; Kill and Stop wait
		// A parent's death is its thread's, so the thread has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	b.cmd, b.done = cmd, done
	if err := b.await(); err != nil {
		b.Kill()
		return fmt.Errorf("start Kafka: %w\n%s", err, b.Log())
	}
	return nil
}

// await waits until the broker serves clients and its process is known to the controller.
func (b *Broker) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	for {
		err := b.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-b.done:
			return errors.New("the process has ended")
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (b *Broker) ask(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RequestRetries(0), kgo.RetryTimeout(time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	adm := kadm.NewClient(cl)
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		return err
	}
	if len(brokers) == 0 {
		return errors.New("no broker is registered")
	}
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		return err
	}
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p.Leader < 0 {
				return fmt.Errorf("partition %d of topic %q has no leader", p.Partition, t.Topic)
			}
		}
	}
	return nil
}

// addUser makes the credentials of the SASL listener.
func (b *Broker) addUser() error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // one a request: Kafka wants each user once
		done, err := kadm.NewClient(cl).AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: User, Mechanism: m, Iterations: 4096, Password: Password}})
		if err == nil {
			err = done.Error()
		}
		if err != nil {
			return fmt.Errorf("add Kafka's user: %w", err)
		}
	}
	return nil
}

// Kill ends the process with SIGKILL and waits until it is gone; nothing happens if there is none.
func (b *Broker) Kill() {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Kill()
	<-b.done
	b.cmd = nil
}

// Stop ends the process with SIGTERM.
func (b *Broker) Stop() {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.done:
		b.cmd = nil
	case <-time.After(stopWithin):
		b.Kill()
	}
}

// Running reports whether Start has been called since the last Kill or Stop.
func (b *Broker) Running() bool { return b.cmd != nil }

// Close ends the process and removes the folder.
func (b *Broker) Close() error {
	b.Kill()
	return os.RemoveAll(b.dir)
}

// Addr is where clients connect without a password.
func (b *Broker) Addr() string { return fmt.Sprintf("127.0.0.1:%d", b.ports.Plain) }

// SASLAddr is where clients connect as User with Password, by SCRAM, without TLS.
func (b *Broker) SASLAddr() string { return fmt.Sprintf("127.0.0.1:%d", b.ports.SASL) }

// Log returns the end of what the processes have written so far.
func (b *Broker) Log() string {
	s := b.log.String()
	if len(s) > 6000 {
		s = "…" + strings.ToValidUTF8(s[len(s)-6000:], "")
	}
	return s
}

// safeBuffer is a buffer that several goroutines may write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
