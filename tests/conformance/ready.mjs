// Waits until the URL answers with 200; gives up after ten seconds.
const until = Date.now() + 10_000;
while (Date.now() < until) {
  const status = await fetch(process.argv[2]).then((answer) => answer.status, () => 0);
  if (status === 200) process.exit(0);
  await new Promise((resolve) => setTimeout(resolve, 100));
}
process.exit(1);
