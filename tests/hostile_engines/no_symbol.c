/* A shared object that is no engine. */
int cbn_not_an_engine;
