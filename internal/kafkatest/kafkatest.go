// Package kafkatest runs a real Apache Kafka for tests, and tests Millrace against it.
//
// The idea: Kafka's jars are fetched once by Maven into the user's cache folder; a Broker is one process in
// KRaft mode, broker and controller in one, on free ports of 127.0.0.1 and a temporary folder. The folder
// and the ports outlive the process, so that it can be killed at any moment and started again.
//
// Start, Kill and Stop are for one goroutine at a time; everything else may be called by any.
//
// Invariants: only processes started here are ever signalled, and they die with the process that started
// them; nothing is written outside the temporary folder and the cache folder.
//
// Nothing here is part of the server: it is for tests, which need the flag -kafka (go test
// ./internal/kafkatest -kafka -timeout 20m). Start at New.
package kafkatest
